// The text of Learn in Japanese, in the words of the note that this page follows.

/** @type {Record<string, string>} */
export const LEARN = {
  Learn: "しくみ",
  "One place of one layer: the whole computation": "1 つの層、1 つの位置で見る Attention の計算",
  "Drag the place on the picture. Point at a key in any drawing: it is shown in all of them.":
    "画像の上で位置をドラッグする。どれかの図で Key を指すと、同じ Key がすべての図に示される。",
  "Picture: drag the place, or move it with the arrow keys": "画像: 位置をドラッグするか、矢印キーで動かす",
  "block {block}": "ブロック {block}",
  "the place that asks: row {row}, column {column}": "注目する位置 (Query): {row}行 {column}列",
  "step {step} · t = {time}": "ステップ {step} · t = {time}",
  "Kind of attention": "Attention の種類",
  "Self-attention": "Self-Attention",
  "Cross-attention": "Cross-Attention",
  "Joint attention": "Joint Attention",
  "A joint attention: the text is among the keys, beside the picture's places, and one softmax is over both. The text asks, too; shown here are the picture's places.":
    "Joint Attention では、画像の位置とテキストのトークンの両方が Key になり、1 つの softmax がその全体にかかる。テキストも Query になるが、ここでは画像の位置が Query の場合を示す。",
  "Layers of the model": "モデルの層",
  "Each box is a block's attention.": "1 つの箱が 1 つのブロックの Attention を表す。",
  "block {block}, {kind}, {grid}, {heads} heads of {dim}":
    "ブロック {block}、{kind}、{grid}、{dim} 次元のヘッド {heads} 個",
  "frame {frame}, {place}": "フレーム {frame}、{place}",
  "{place} of the other picture": "もう一方の画像の{place}",
  "key {number} of {part}": "{part} の Key {number}",
  "padding {number}": "パディング {number}",
  numbers: "個の数",
  "Query: what the place asks": "Query: この位置が探しているもの",
  "The latent image features of the place, x, are multiplied by a learned matrix. What comes out are {dim} numbers that say what this place looks for.":
    "この位置の Latent 画像特徴 x に学習済みの行列を掛ける。得られる {dim} 個の数が、この位置が何を探しているかを表す。",
  "The query": "Query",
  "The keys": "Key",
  "Keys: what there is to look at": "Key: 参照される側の手がかり",
  "The picture's places and the text's tokens, {keys} together, each offer a key: one softmax is over both.":
    "画像の位置とテキストのトークン、合わせて {keys} 個のそれぞれから Key を作る。softmax は両方にまとめてかかる。",
  "In self-attention each of the {keys} places offers a key, made of its own latent image features, y.":
    "Self-Attention では、{keys} 個の位置それぞれの Latent 画像特徴 y から Key を作る。",
  "In cross-attention each of the {keys} tokens offers a key, made of its text embedding, y.":
    "Cross-Attention では、{keys} 個のトークンそれぞれの外部条件特徴 y (テキスト埋め込み) から Key を作る。",
  "Each of the {dim} channels is one small picture: its number at every place, and above it what q has in this channel.":
    "小さな図の 1 枚が 1 つのチャネル (全部で {dim} 個) にあたり、各位置での値を示す。図の上の数は、そのチャネルでの q の値である。",
  "A column for each token, a row for each of the {dim} channels.": "列がトークン、行が {dim} 個のチャネルを表す。",
  "Scores: how well they fit": "スコア: Query と Key がどれだけ合うか",
  "q and the key are multiplied number by number, and the products added up: the score is large where both point the same way, negative where they point away from each other.":
    "q と Key を成分ごとに掛けて足し合わせる (内積)。2 つが同じ向きなら大きく、逆向きなら負になる。",
  "So the map is the sum of the channels above, each times its q.":
    "つまりこのマップは、上の各チャネルの図に q の値を掛けて足し合わせたものである。",
  Scores: "スコア",
  "The products of the key {key}": "Key {key} との積",
  "A sum of more products reaches further. Divided by {by}, scores of heads of every dim are comparable, and the softmax stays soft.":
    "足し合わせる積が多いほど、和は大きな値をとりやすい。{by} で割ると、次元の違うヘッドのスコアも比べられる範囲に収まり、softmax が極端な分布にならない。",
  "This model multiplies its scores by {by}.": "このモデルはスコアに {by} を掛ける。",
  "Then the model's mask is added: it lowers or hides keys.": "さらにモデルのマスクを加え、一部の Key を弱めるか隠す。",
  "How many keys have which score, before and after scaling": "スコアごとの Key の数 (スケーリングの前後)",
  scores: "スコア",
  scaled: "スケーリング後",
  "Softmax: exponentials": "softmax: 指数関数に通す",
  "The largest number, {largest}, is subtracted: it changes no share and keeps exp from overflowing. exp makes every number positive, and each step of 1 down the axis divides it by e = 2.718. Together they are {total}.":
    "先に最大値 {largest} を引く。割合は変わらず、exp のオーバーフローを防げる。exp を通すとどの数も正になり、軸の値が 1 下がるごとに e = 2.718 分の 1 になる。総和は {total} である。",
  "Every key on the curve of the exponential": "指数関数の曲線上に並べたすべての Key",
  "Attention probability: shares": "Attention Probability: 注意の割合",
  "Divided by their sum, the exponentials are shares of attention: all {keys} together are 100 %.":
    "総和で割ると注意の割合になる。{keys} 個を合わせると 100 % である。",
  "This is where the place looks. The largest shares are below.": "これが、この位置の見ている場所である。割合の大きいものを下に示す。",
  "This is what the place reads. The largest shares are below.": "これが、この位置の読んでいるトークンである。割合の大きいものを下に示す。",
  "Of all of it: {parts}.": "内訳: {parts}。",
  "the picture": "画像",
  "the text": "テキスト",
  "Shares of attention": "注意の割合",
  "An edit of this run changed the row before it met the values: drawn is the row that was used, the sum beside it is the softmax's own.":
    "この実行では、Value に掛ける前に編集がこの行を書き換えている。図は実際に使われた行、横の計算は softmax そのものの値である。",
  "all numbers of this place": "この位置のすべての数値",
  Key: "Key",
  share: "割合",
  "Values: what they bring": "Value: 受け渡される内容",
  "Every key has a value, {dim} numbers. Each value is multiplied by the key's share and all are added up: what comes out, o, goes on to the rest of the network.":
    "どの Key にも {dim} 個の数からなる Value がある。それぞれに Key の割合を掛けて足し合わせると o が得られ、ネットワークの続きに渡される。",
  "brings {share} of o": "o への寄与 {share}",
  "This trace has no V: it was captured without. Keep it, as large as K, with":
    "このトレースには V がない (記録していない)。V を残すには次のように記録する (大きさは K と同じ):",
  "The values": "Value",
  "The output": "出力",
  "share × value": "割合 × Value",
  "share × value of {key}": "{key} の割合 × Value",
  "of o": "o への寄与",
  "all {count} others": "その他 {count} 個",
  "of all others": "その他すべて",
  "Each strip has its own range of colours. What a key brings is measured along o: what points the other way takes away, and is negative.":
    "帯の色の範囲は行ごとに異なる。寄与は o の方向に沿って測り、逆向きのものは o を減らすので負になる。",
  "Guidance: two halves": "Classifier-free guidance: 2 つの予測",
  "Guidance asks the model twice in every step, with the prompt (cond) and without it or with the negative prompt (uncond), and goes s times the way from the second answer to the first: what only the words bring becomes s times as strong.":
    "ノイズ除去ステップのたびに、モデルに 2 回予測させる。プロンプトあり (cond) と、プロンプトなしまたはネガティブプロンプト (uncond) である。uncond から cond への差を s 倍して uncond に足すので、プロンプトだけがもたらす差が s 倍に強まる。",
  "In this run s = {scale}.": "この実行では s = {scale}.",
  "This run's s is unknown.": "この実行の s はわからない。",
  "This run has more branches, {branches}: their terms are left out of the formula.":
    "この実行にはほかのブランチ ({branches}) もあるが、式ではその項を省いている。",
  "This trace has only {branches}, so there is nothing to compare: the run had no guidance, its guidance is built into the model, or the capture kept one branch.":
    "このトレースには {branches} しかないので、比べられない。ガイダンスなしで実行したか、ガイダンスがモデルに組み込まれているか、片方のブランチだけを記録したかのいずれかである。",
  "empty text": "空のテキスト",
  "Shares of attention, {branch}": "注意の割合 ({branch})",
  "what the words change": "プロンプトによる変化",
  "What the words change": "プロンプトによる変化",
  "All layers of this model": "このモデルの全 Attention 層",
  "latent image features": "Latent 画像特徴",
  "outside condition (e.g. text embedding)": "外部条件特徴 (e.g. テキスト埋め込み)",
  "How self- and cross-attention differ": "Self/Cross Attention の違い",
  "Shapes of self-attention": "Self-Attention のテンソル形状",
  "Shapes of cross-attention": "Cross-Attention のテンソル形状",
  "Shapes of joint attention": "Joint Attention のテンソル形状",
  "Shapes of {kind}-attention": "{kind}-Attention のテンソル形状",
  Index: "Index",
  Grid: "Latent Scale",
  Heads: "ヘッド数",
  "The {all} (={batch}x{branches}x{heads}) of the batch dimension: x{batch} by pictures, x{branches} by classifier-free guidance, x{heads} by multi-head attention.":
    "各バッチ次元の {all} (={batch}x{branches}x{heads}) は、画像の枚数による x{batch} と、Classifier-free guidance による x{branches} と、Multi-head Attention による x{heads}。",
  "The {all} (={branches}x{heads}) of the batch dimension: x{branches} by classifier-free guidance, x{heads} by multi-head attention.":
    "各バッチ次元の {all} (={branches}x{heads}) は、Classifier-free guidance による x{branches} と、Multi-head Attention による x{heads}。",
  "The {all} of the batch dimension: x{heads} by multi-head attention; this trace has no second half.":
    "各バッチ次元の {all} は、Multi-head Attention による x{heads}。このトレースにあるのは Classifier-free guidance の片方だけである。",
  "{label}, {count} numbers up to {most}": "{label}、絶対値が最大 {most} の {count} 個の数",
  "This trace holds neither self- nor cross-attention, so there is no computation to show.":
    "このトレースには Self-Attention も Cross-Attention もなく、示せる計算がない。",
};
