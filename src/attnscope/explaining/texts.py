"""What explanations say, each sentence in English and in Japanese."""

from __future__ import annotations

from attnscope.explaining.wording import Text
from attnscope.trace.reading import CUT, LEFT_OUT, PARTLY_CUT

VERDICTS = {
    "drawn": Text(
        "{word} was drawn, as far as attention shows.",
        "注意を見るかぎり、{word}は描かれています。",
    ),
    "not drawn": Text(
        "{word} was not drawn, as far as attention shows.",
        "注意を見るかぎり、{word}は描かれていません。",
    ),
    "unclear": Text(
        "Whether {word} was drawn, attention does not say.",
        "{word}が描かれたかどうかは、注意からは分かりません。",
    ),
    "not read": Text("{word} was not read.", "{word}はモデルに読まれていません。"),
    "shows nothing": Text(
        "{word} is a word that shows nothing by itself.",
        "{word}は、それだけでは何も表さない語です。",
    ),
}
SAYS = {
    "drawn": Text("drawn", "描かれた"),
    "not drawn": Text("not drawn", "描かれていない"),
    "unclear": Text("unclear", "不明"),
    "not read": Text("not read", "読まれていない"),
    "shows nothing": Text("shows nothing", "何も表さない"),
}
"""Verdicts in tables."""

GUESS = Text(
    "This is a guess: its thresholds were chosen on whole runs of the demo model, and not tried on this.",
    "これは推測です。しきい値はデモモデルの完全な実行で選ばれたもので、このような実行では確かめられていません。",
)

# Why a verdict says what it says

ONLY_READ = Text(
    "But this picture was only read, not made: a word that is not there then often takes the place of a thing "
    "that is.",
    "ただし、この画像は生成されたものではなく、読み取られただけです。その場合、画像にない語は、そこにある物の場所を取ることがよくあります。",
)
EVEN = Text(
    "It is looked up almost evenly: its map fills {area} of the picture, which does not tell where it was drawn.",
    "ほぼ均一に参照されています。マップが画像の{area}を占めていて、どこに描かれたかはわかりません。",
)
NEVER_SEEN = Text("It {lost}, so the model never saw it.", "この語は{lost}ため、モデルに届いていません。")
LOST = {
    CUT: Text("was cut off", "途中で切り捨てられた"),
    PARTLY_CUT: Text("is only partly read, it was cut off", "一部しか読まれず、残りが切り捨てられた"),
    LEFT_OUT: Text(
        "is read by no token: the tokenizer left it out",
        "トークナイザーが省いたためどのトークンにも含まれず、その",
    ),
}
NAMES_NOTHING = Text("It stands for nothing that could be seen.", "目に見えるものを指さない語です。")
OF_ONE_NOT_DRAWN = Text(
    "It belongs to {head}, which was not drawn.",
    "{head}にかかる語で、そちらは描かれていません。",
)
OF_ONE_UNJUDGED = Text(
    "It belongs to {head}, which can't be judged.",
    "{head}にかかる語で、そちらは判定できません。",
)
LIES_ELSEWHERE = Text(
    "It belongs to {head}, but only {part} of its map lies where {head} is, which is {chance} of the picture.",
    "{head}にかかる語ですが、{head}の場所（画像の {chance}）にあるのはマップの {part} だけです。",
)
LIES_THERE = Text(
    "It belongs to {head}, and {part} of its map lies where {head} is, which is {chance} of the picture.",
    "{head}にかかる語で、マップの {part} が{head}の場所（画像の {chance}）にあります。",
)
BESIDE_USUAL = Text(
    "It gets {share} of the picture's attention, and {peak} where it gets most; where {word} is drawn, this model "
    "usually gives it {usual_share} and {usual_peak}.",
    "この語が受け取る注意は画像全体の {share}、最も多い場所で {peak} です。{word}が描かれるとき、このモデルはふつう "
    "{usual_share} と {usual_peak} を与えます。",
)
NONE_TO_COMPARE = Text(
    "Its largest share is {peak}, and there is no other word to compare it with.",
    "最大の割合は {peak} で、比べられる語がほかにありません。",
)
BESIDE_OTHERS = Text(
    "Its largest share at any place is {peak}, that of {other} is {other_peak}; it gets more than the other words "
    "on {leads} of the picture.",
    "どの場所で見ても割合は最大 {peak} で、{other}では {other_peak} です。"
    "画像の {leads} で、ほかの語より多くの注意を受け取ります。",
)
NO_TOKEN = Text(
    "The model's tokenizer has no token for it, and puts the same one in place of all that it does not know.",
    "モデルのトークナイザーにはこの語のトークンがなく、知らない語はすべて同じトークンに置き換えられます。",
)
NEVER_TAUGHT = Text("The model was never taught it{apart}.", "モデルはこの語を学習していません{apart}。")
APART = Text(
    "; its tokenizer takes it apart into {count} pieces ({pieces})",
    "（トークナイザーはこの語を {count} 個の断片に分けます: {pieces}）",
)
NO_ATTENTION = Text(
    "No place of the picture gave it any attention{edited}.",
    "画像のどの場所も、この語に注意を向けませんでした{edited}。",
)
WAS_EDITED = Text(": this run was edited ({edits})", "（この実行は編集されています: {edits}）")
WEAK = Text(
    "{who} gets {peak} at most at any place, and {other} {other_peak}.",
    "{who}が受け取るのはどの場所でも最大 {peak} で、{other}では {other_peak} です。",
)
A_TOKEN_OF_IT, IT = Text("A token of it", "この語のトークン"), Text("It", "この語")

# Where a word landed

TAKEN_APART = Text(
    "The tokenizer takes it apart into {count} tokens: {pieces}.",
    "トークナイザーはこの語を {count} 個のトークンに分けます: {pieces}。",
)
GETS = Text("It gets {share} of the picture's attention.", "この語は画像の注意の {share} を受け取ります。")
RANKED = Text(
    "Its share, {share} of the picture's attention, is number {rank} of {count} words that may show something.",
    "この語の割合は画像の注意の {share} で、何かを表しうる {count} 語のうち {rank} 番目です。",
)
LARGEST = Text(
    "Its map is largest {where}, {peak}{each} at row {row}, column {column}, and fills {area} of the picture.",
    "マップは{where}で最大になり（{row} 行 {column} 列で{each} {peak}）、画像の {area} を占めます。",
)
EACH_TOKEN = Text(" a token", "トークンごとに")
PLACES = {
    "top left": Text("at the top left", "左上"),
    "top": Text("at the top", "上"),
    "top right": Text("at the top right", "右上"),
    "left": Text("at the left", "左"),
    "in the middle": Text("in the middle", "中央"),
    "right": Text("at the right", "右"),
    "bottom left": Text("at the bottom left", "左下"),
    "bottom": Text("at the bottom", "下"),
    "bottom right": Text("at the bottom right", "右下"),
}
WHERE = {where: Text(where, text.ja) for where, text in PLACES.items()}
"""Places in tables."""
LOOKED_UP = Text(
    "It is looked up most in block {block} ({share}), of all heads in head {head} of block {its_block} "
    "({of_head}).",
    "最もよく参照されるのはブロック {block}（{share}）、"
    "全ヘッドの中ではブロック {its_block} のヘッド {head}（{of_head}）です。",
)
OVER_STEPS = Text(
    "Over the steps its share goes from {before} (step {first}) to {after} (step {last}); it is looked up most in "
    "block {block} ({share}), of all heads in head {head} of block {its_block} ({of_head}).",
    "割合はステップを追って {before}（ステップ {first}）から {after}（ステップ {last}）に変わります。"
    "最もよく参照されるのは"
    "ブロック {block}（{share}）、全ヘッドの中ではブロック {its_block} のヘッド {head}（{of_head}）です。",
)
LIES_ON = Text(
    "It lies on {other}: {common} of the two maps is common, and {own} of its own is on that word's {chance} of "
    "the picture.",
    "{other}と重なっています。両方のマップの {common} が共通で、"
    "この語のマップの {own} が、画像の {chance} にあたるその語の場所にあります。",
)
LIES_APART = Text(
    "It does not lie on {others}: {limit}{most} of the maps is common.",
    "{others}とは重なっていません。マップの共通部分は{limit} {most} です。",
)
AT_MOST = Text("at most ", "最大で")
IN_SEGMENT = Text(
    "Of the segments number {segment} fits its map best (IoU {iou}, {inside} of the map on {area} of the picture); "
    "{named}.",
    "セグメントの中では番号 {segment} がマップに最もよく合います"
    "（IoU {iou}、画像の {area} の上にマップの {inside}）。{named}。",
)
STANDS_OUT = Text(
    "the word that stands out most there is {word}",
    "そこで最も目立つ語は{word}です",
)
NOTHING_STANDS_OUT = Text("no word stands out there", "そこで目立つ語はありません")
IT_STANDS_OUT = Text("it is the word that stands out most there", "そこで最も目立つのはこの語です")
EFFECT = Text(
    "With {edit} the picture changes by {mean} of 255 levels on average{where}{most}.",
    "{edit} を使うと画像は 255 階調のうち平均 {mean} 変わります{where}{most}。",
)
ON_IT_AND_ELSEWHERE = Text(
    ", {on_the_word} where the word's map is and {elsewhere} elsewhere",
    "（語のマップの場所では {on_the_word}、ほかの場所では {elsewhere}）",
)
MOST_IN_SEGMENT = Text(
    "; most in segment {segment} ({change})",
    "（最も変わるのはセグメント {segment} の {change}）",
)

# The whole run

BUDGET = Text(
    "Of the picture's attention {words} go to words; start, end and padding tokens, which name nothing, get {lost} "
    "(start {start}, end {end}, padding {padding}){rest}.",
    "画像の注意のうち単語に向かうのは {words} で、何も指さない開始・終了・パディングのトークンが {lost}"
    "（開始 {start}、終了 {end}、"
    "パディング {padding}）を受け取ります{rest}。",
)
TO_PUNCTUATION = Text(", {share} go to punctuation", "。句読点には {share} が向かいます")
ELSEWHERE = Text(", {share} to what is no token", "。トークンでないものには {share} が向かいます")
TAKEN_AWAY = Text(
    ", {share} were taken away or go to what is no token",
    "。{share} は取り除かれたか、トークンでないものに向かいます",
)
EDITED = Text(
    "The run's attention was edited: {edits}. Shares are those that were used.",
    "この実行では注意が編集されています: {edits}。割合は実際に使われた値です。",
)
REPEATED = Text(
    "The run made again differs from the trace's picture by {difference} of 255 levels on average.",
    "もう一度行った実行の画像とトレースの画像の差は、255 階調のうち平均 {difference} です。",
)

# What attention can't prove

LIMITS = Text(
    "Attention says where a word was looked up, not what was painted there: a thing that is badly drawn gets as "
    "much as a good one, and that a colour lies on its thing does not make it the right colour.",
    "注意が示すのは語がどこで参照されたかであり、そこに何が描かれたかではありません。うまく描けていないものも、よく描けたものと同じだけ"
    "注意を受け取ります。また、色の語が物の上にあっても、色が正しいとは限りません。",
)
MEASURED = Text(
    "On 100 prompts of the demo model 61 of 62 words that were called not drawn were not in the picture, and "
    "of 70 that were not there 61 were called so (docs/explain.md).",
    "デモモデルの 100 個のプロンプトで、描かれていないと判定された 62 語のうち 61 語が実際に画像になく、"
    "画像になかった 70 語のうち 61 語が"
    "そう判定されました（docs/explain.md）。",
)
NOT_MEASURED = Text(
    "Thresholds were chosen on whole runs of the demo model and may not suit this: look at the picture before "
    "you believe a verdict.",
    "しきい値はデモモデルの完全な実行で選ばれたもので、この場合に合うとは限りません。判定を信じる前に画像を見てください。",
)

# Tables of words

COLUMNS = (
    Text("Word", "単語"),
    Text("Verdict", "判定"),
    Text("Share", "割合"),
    Text("Largest", "最大"),
    Text("Where", "場所"),
    Text("Leads on", "優勢な範囲"),
    Text("Tokens", "トークン"),
)
WORDS_OF = Text("Words of {prompt}", "{prompt}の単語")
