// Rules for the page's scripts and their tests. The vendored library is as its makers wrote it.

import js from "@eslint/js";
import stylistic from "@stylistic/eslint-plugin";
import globals from "globals";

export default [
  { ignores: [".*/", "**/vendor/", "build/", "dist/", "docs/assets/", "gpu-results/"] },
  js.configs.recommended,
  {
    plugins: { "@stylistic": stylistic },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@stylistic/max-len": ["error", { code: 110 }],
      "max-lines": ["error", { max: 300 }],
      "consistent-return": "error",
      "default-param-last": "error",
      eqeqeq: "error",
      "no-implicit-globals": "error",
      "no-param-reassign": "error",
      "no-return-assign": "error",
      "no-sequences": "error",
      "no-shadow": "error",
      "no-throw-literal": "error",
      "no-unused-expressions": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
  {
    files: ["src/**"],
    languageOptions: { globals: globals.browser },
    rules: { "no-restricted-imports": ["error", { patterns: ["./*", "../*"] }] }, // names of the import map
  },
  { files: ["src/**/text/*.js"], rules: { "@stylistic/max-len": "off" } }, // a text stands on one line
  { files: ["tests/**"], languageOptions: { globals: globals.nodeBuiltin } },
];
