// Prompts to begin with; models read English.

export const EXAMPLES = [
  "a red house and a green tree on the grass",
  "a blue star and a yellow moon in the night sky",
  "a white cat under a tree",
];
