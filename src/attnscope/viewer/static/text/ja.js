// The page's text in Japanese, by the English that stands in the code.

/** @type {Record<string, string>} */
export const JAPANESE = {
  Places: "位置",
  Words: "単語",
  Segments: "セグメント",
};
