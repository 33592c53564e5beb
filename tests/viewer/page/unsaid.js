// Finds in a script the texts that the page shows: those that go through t(), rich() and later(), and those
// that should.

import { Linter } from "eslint";

/** @import { Node } from "estree" */
/** @typedef {Node & { parent: Spot, range: [number, number] }} Spot */
/** @typedef {{ said: string[], bare: string[] }} Texts */

const SAY = ["t", "rich", "later"];
const SHOWN = [
  "label",
  "title",
  "placeholder",
  "alt",
  "aria-label",
  "aria-roledescription",
  "aria-valuetext",
];
const NAMES = /\b(attnscope|PNG|NPZ|JSON|GIF|MP4|Python|GitHub)\b/g; // the same in every language
const SELECTORS = ["querySelector", "querySelectorAll", "matches", "closest", "split", "matchMedia"];
const UNSHOWN_PROPERTIES = ["font", "className", "cssText"];

/** @param {string} text */
const hasWord = (text) => /\p{L}{2,}/u.test(text.replace(NAMES, ""));

/** Words after each other, or a word beside what is filled in; selectors are none @param {string} text */
function isProse(text) {
  if (/^[.#][\w-]/.test(text)) return false;
  return /\p{L}{2,}[,.:;]* \p{L}+|^ \p{L}{3,}|\p{L}{3,} $/u.test(text.replace(NAMES, ""));
}

/**
 * @param {string} source
 * @returns {Texts}
 */
export function textsOf(source) {
  /** @type {Texts} */
  const texts = { said: [], bare: [] };
  /** @type {Set<unknown>} */
  const judged = new Set(); // templates and their holes, which have rules of their own
  const rule = {
    create: () => ({
      /** @param {any} node */
      CallExpression: (node) => SAY.includes(node.callee.name) && say(node.arguments[0], texts, judged),
      /** @param {any} node */
      TaggedTemplateExpression: (node) => node.tag.name === "html" && markup(node.quasi, texts, judged),
      /** @param {any} node */
      "Literal:exit": (node) => {
        if (typeof node.value === "string" && !judged.has(node) && isProse(node.value) && isShown(node))
          texts.bare.push(node.value);
      },
      /** @param {any} node */
      "TemplateElement:exit": (node) => {
        if (!judged.has(node.parent) && isProse(node.value.cooked) && isShown(node.parent))
          texts.bare.push(node.value.cooked);
      },
    }),
  };
  const plugins = { page: { rules: { texts: rule } } };
  const problems = new Linter().verify(source, [{ plugins, rules: { "page/texts": "error" } }]);
  if (problems.some((problem) => problem.fatal)) throw new Error(problems[0].message);
  return texts;
}

/**
 * A text in a call of t(): as it stands, or in pieces that are added
 * @param {any} node
 * @param {Texts} texts
 * @param {Set<unknown>} judged
 */
function say(node, texts, judged) {
  const text = whole(node, judged);
  if (text !== null) texts.said.push(text);
}

/**
 * @param {any} node
 * @param {Set<unknown>} judged
 * @returns {string | null}
 */
function whole(node, judged) {
  if (node?.type === "Literal" && typeof node.value === "string") {
    judged.add(node);
    return node.value;
  }
  if (node?.type !== "BinaryExpression" || node.operator !== "+") return null;
  const [left, right] = [whole(node.left, judged), whole(node.right, judged)];
  return left === null || right === null ? null : left + right;
}

/** Whether a text may be one that people read @param {any} node */
function isShown({ parent, ...node }) {
  if (parent.type === "ImportDeclaration" || parent.type === "ExportNamedDeclaration") return false;
  if (parent.type === "BinaryExpression" && /^[!=]=/.test(parent.operator)) return false;
  if (parent.type === "AssignmentExpression") return !UNSHOWN_PROPERTIES.includes(parent.left.property?.name);
  if (parent.type === "CallExpression")
    return !SELECTORS.includes((parent.callee.property ?? parent.callee).name);
  let outer = parent;
  while (outer.type === "BinaryExpression") outer = outer.parent;
  return !(node.type === "Literal" && outer.type === "MemberExpression"); // "a an the".split(" ")
}

/**
 * The text between tags, the attributes that are read out, and what is filled into both
 * @param {any} template
 * @param {Texts} texts
 * @param {Set<unknown>} judged
 */
function markup(template, texts, judged) {
  judged.add(template);
  const holes = [...template.expressions];
  const source = template.quasis.map((/** @type {any} */ quasi) => quasi.value.cooked).join("\0");
  const parts = /<(?:[^"'>]|"[^"]*"|'[^']*')*>|[^<]+/g; // a tag, or what is between two
  let kept = false;
  for (const [part] of source.matchAll(parts)) {
    const inside = [...part].filter((letter) => letter === "\0").map(() => holes.shift());
    if (part.startsWith("<")) {
      kept = tag(part, inside, texts, judged);
    } else {
      if (!kept && hasWord(part)) texts.bare.push(part.trim());
      if (!kept) inside.forEach((hole) => value(hole, texts, judged));
    }
  }
}

/**
 * @param {string} source
 * @param {any[]} holes
 * @param {Texts} texts
 * @param {Set<unknown>} judged
 * @returns {boolean} whether what is inside is the same in every language
 */
function tag(source, holes, texts, judged) {
  const attributes = /([\w-]+)=("[^"]*"|'[^']*'|\0)|\0/g;
  const left = [...holes];
  let kept = false;
  for (const [, name, text] of source.matchAll(attributes)) {
    const own = [...(text ?? "\0")].filter((letter) => letter === "\0").map(() => left.shift());
    kept ||= name === "translate" && own[0]?.value === false;
    if (!SHOWN.includes(name)) own.forEach((hole) => hide(hole, judged));
    else if (text !== "\0" && hasWord(text)) texts.bare.push(text);
    else own.forEach((hole) => value(hole, texts, judged));
  }
  return kept;
}

/** A class, a style: nobody reads it @param {any} node @param {Set<unknown>} judged */
function hide(node, judged) {
  if (isText(node)) judged.add(node);
  for (const one of outcomes(node)) hide(one, judged);
}

/**
 * Texts among what an expression may come to
 * @param {any} node
 * @param {Texts} texts
 * @param {Set<unknown>} judged
 */
function value(node, texts, judged) {
  if (isText(node)) {
    judged.add(node);
    const pieces = node.quasis?.map((/** @type {any} */ quasi) => quasi.value.cooked) ?? [node.value];
    if (hasWord(pieces.join(" "))) texts.bare.push(pieces.join(" "));
  }
  for (const one of outcomes(node)) value(one, texts, judged);
}

/** @param {any} node */
const isText = (node) =>
  node?.type === "TemplateLiteral" || (node?.type === "Literal" && typeof node.value === "string");

/**
 * What an expression may come to, or what it puts into its text
 * @param {any} node
 * @returns {any[]}
 */
function outcomes(node) {
  if (node?.type === "TemplateLiteral") return node.expressions;
  if (node?.type === "ConditionalExpression") return [node.consequent, node.alternate];
  if (node?.type !== "LogicalExpression") return [];
  return node.operator === "&&" ? [node.right] : [node.left, node.right];
}
