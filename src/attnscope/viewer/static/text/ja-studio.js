// The studio's text in Japanese.

/** @type {Record<string, string>} */
export const STUDIO = {
  studio: "スタジオ",
  Edit: "編集",

  // the form
  "A new picture": "新しい画像",
  prompt: "プロンプト",
  "Type what the picture shows, such as: a red house and a tree under a blue sky":
    "描きたいものを入力してください。例: a red house and a tree under a blue sky",
  Stop: "中止",
  Generate: "生成",
  "Generate with 1 edit": "1 個の編集で生成",
  "Generate with {count} edits": "{count} 個の編集で生成",
  "The model can't be loaded.": "モデルを読み込めません。",
  "Loading {model} …": "{model} を読み込んでいます…",
  Settings: "設定",
  "{number}: {name}": "{number}: {name}",
  "{number}, edited: {name}": "{number}（編集）: {name}",
  seed: "シード",
  "another seed": "別のシード",
  steps: "ステップ",
  guidance: "ガイダンス",
  "height in pixels": "高さ（ピクセル）",
  "width in pixels": "幅（ピクセル）",
  not: "除外",
  "negative prompt": "ネガティブプロンプト",
  "what to avoid": "描きたくないもの",

  // a picture while it is made
  "{count} before this one": "{count} 件待ち",
  "The model gets ready …": "モデルを準備しています…",
  "step {done} of {total}": "ステップ {done} / {total}",
  "the picture as it forms": "生成途中の画像",
  "The picture forms": "画像の生成",
  "What the model takes the picture to be after a step, and where the chosen word lands.":
    "各ノイズ除去ステップの時点でモデルが予測している画像と、選んだ単語への注意です。",
  "Type a prompt above, and watch its attention while the picture forms.":
    "上にプロンプトを入力すると、画像ができていく様子を注意とともに見られます。",
  "For example:": "例:",
  "Or drop a photo here to read it, or a trace that was captured elsewhere to look at it.":
    "写真をここにドロップして読み取ることや、ほかで記録したトレースをドロップして開くこともできます。",

  // runs
  "Pictures so far": "これまでの画像",
  "{name}, run {number}": "{name}、実行 {number}",
  "more about run {number}": "実行 {number} の操作",
  failed: "失敗",
  stopped: "中止",
  photo: "写真",
  trace: "トレース",
  "seed {seed}, edited": "シード {seed}、編集あり",
  "seed {seed}": "シード {seed}",
  "run {number}": "実行 {number}",
  "Compare with this": "これと比較",
  "Use its settings": "この設定を使う",
  Rename: "名前を変更",
  Delete: "削除",
  "Its name:": "名前:",
  "“{name}” was deleted.": "「{name}」を削除しました。",
  "The run of this address was deleted.": "このアドレスの実行は削除されています。",
  "Delete “{name}” with its picture and its trace?": "「{name}」を画像とトレースごと削除しますか？",

  // what is brought
  "Drop a photo, or the folder or zip of a trace": "写真、またはトレースのフォルダか zip をドロップ",
  "Read a photo …": "写真を読み取る…",
  "Open a trace …": "トレースを開く…",
  "… or its zip": "zip から開く…",
  "sending {name} …": "{name} を送信しています…",
  "sending {name}: {count} of {total} files": "{name} を送信しています: {total} ファイル中 {count} ファイル",
  "Read a photo": "写真を読み取る",
  "What is on it?": "何が写っていますか？（英語）",
  "such as: a cat on a sofa": "例: a cat on a sofa",
  Read: "読み取る",

  // two pictures
  "difference of the pictures": "画像の差",
  difference: "差",
  "where the two pictures differ": "2 枚の画像の違い",
  "255 levels, mean of the colours": "255 階調、3 色の平均",
  "a picture is missing": "画像がありません",
  "the pictures have different sizes": "画像の大きさが違います",
  "{mean} levels on average": "平均 {mean} 階調",

  // edits
  "Only pictures that were made here can be edited: type a prompt above.":
    "編集できるのはここで生成した画像だけです。上にプロンプトを入力してください。",
  "How strongly each word is read: 0 mutes it, 1 leaves it, 4 is four times as much.":
    "各単語への注意の強さです。0 で無効、1 で変更なし、4 で 4 倍になります。",
  "weight of {word}": "{word} の重み",
  "leave {word} as it is": "{word} を元に戻す",
  mute: "無効",
  "Heads and blocks": "ヘッドとブロック",
  "Choose a block of the model on the left, and a head below the picture, to switch them off.":
    "左でモデルのブロックを、画像の下でヘッドを選ぶと、無効にできます。",
  "Block {block} is chosen.": "ブロック {block} を選択中",
  "switch on again: {what}": "有効に戻す: {what}",
  "switch off: {what}": "無効にする: {what}",
  "block {block}, {what}": "ブロック {block} の{what}",
  "block {block}, {what}, head {head}": "ブロック {block} の{what}、ヘッド {head}",
  Layout: "構図",
  "keep the self-attention of run {run}": "自己注意を実行 {run} のものに固定",
  until: "適用期間",
  "prompt-to-prompt: the picture of run {run} with the words of the new prompt":
    "prompt-to-prompt: 実行 {run} の画像を、新しいプロンプトの単語で描き直す",
  "Change a word of the prompt above.": "上のプロンプトの単語を変えてください。",
  "its words until": "元の交差注意",
  "its places until": "元の自己注意",
  "{share} % of the steps": "ステップの {share} % まで",
  "Code, to copy:": "コード（コピーしてください）:",
  "Code copied": "コードをコピーしました",
  "Again, with the edits": "編集を加えて再生成",
  "No edits": "すべての編集を解除",
  "the lines of Python that made this picture": "この画像を生成した Python コード",
  "Copy the run as Python": "Python コードをコピー",
  "Places of words": "単語の位置",
  "Choose a word, then draw a box on the picture, or paint: it is read there and nowhere else.":
    "単語を選び、画像の上を枠で囲むか塗ってください。その単語は、その範囲だけで参照されます。",
  "word to place": "位置を指定する単語",
  "how to draw": "描き方",
  box: "枠",
  brush: "ブラシ",
  "remove: {what}": "削除: {what}",
  "{word}: a painted region": "{word}: 塗った範囲",
  "{word}: {top}–{bottom} % down, {left}–{right} % across":
    "{word}: 縦 {top}～{bottom} %、横 {left}～{right} %",
};
