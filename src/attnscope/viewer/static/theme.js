// Light or dark.

import { get, set } from "attnscope/state";

export function turnTheme() {
  const { theme } = get();
  const byItself = theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches;
  set({ theme: theme === "dark" || byItself ? "light" : "dark" });
}
