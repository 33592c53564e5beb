// The page's text in Japanese, by the English that stands in the code.

/** @type {Record<string, string>} */
export const JAPANESE = {
  Places: "位置",
  Words: "単語",
  Segments: "セグメント",

  // Steps of an exported page
  "This page has only the mean over all {count} steps.": "このページには全 {count} ステップの平均だけが入っています。",
  "Maps of one step have at most {cells}×{cells} cells; segments are of the mean over all steps.":
    "1 ステップだけのマップは最大 {cells}×{cells} セルです。セグメントは全ステップの平均から求めています。",
  "Of {count} steps this page has {held} singly: {steps}.":
    "全 {count} ステップのうち、次の {held} ステップは 1 つずつ見られます：{steps}。",
};
