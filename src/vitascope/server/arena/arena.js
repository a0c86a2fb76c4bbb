"use strict";

const TEXT = {
  en: {
    title: "arena", home: "All pages", board: "Board", back: "Vote", name: "Your name or number", begin: "Begin", left: "A is better",
    right: "B is better", tie: "Tie", bad: "Both bad", again: "Play again",
    welcome: "Two clips of the same prompt, without names. Watch both to the end, then say which is better.",
    count: (n) => `${n} votes so far.`, was: (l, r) => `A was ${l}, B was ${r}.`,
    head: ["Algorithm", "Rating", "95 % interval", "Votes", "Items", "Wins", ""],
    badges: { hidden: "too few votes", preliminary: "preliminary", "": "", "no votes": "no votes" },
    agreement: (a) => `Agreement between raters (Krippendorff's alpha): ${a.toFixed(2)}`,
    publishable: "Fit to be published", unpublishable: "Not yet fit to be published", rules: RULES.en,
  },
  zh: {
    title: "竞技场", home: "返回", board: "榜单", back: "投票", name: "您的姓名或编号", begin: "开始", left: "A 更好",
    right: "B 更好", tie: "平局", bad: "都不好", again: "重播",
    welcome: "同一提示词的两个视频，不显示名称。请完整看完两个视频，再选出更好的一个。",
    count: (n) => `已投 ${n} 票。`, was: (l, r) => `A 是 ${l}，B 是 ${r}。`,
    head: ["算法", "评分", "95% 置信区间", "票数", "条目数", "胜率", ""],
    badges: { hidden: "票数过少", preliminary: "初步结果", "": "", "no votes": "尚无投票" },
    agreement: (a) => `评分者一致性（Krippendorff α）：${a.toFixed(2)}`,
    publishable: "可以发布", unpublishable: "尚不宜发布", rules: RULES.zh,
  },
};

let ballot = null;
let playing = 0; // counts plays, so that an old play's end is not taken for the present one's
let watched = 0;

function translate() {
  const text = TEXT[language];
  putWords(text);
  if (ballot) $("count").textContent = text.count(ballot.votes_cast);
  if (!$("board").hidden) showBoard();
}

/** Both clips start in the same frame of the screen, and are held to one clock while they play. */
async function play() {
  const mine = ++playing;
  const sides = [$("left"), $("right")];
  await Promise.all(sides.map(ready));
  sides.forEach((video) => { video.pause(); video.currentTime = 0; });
  await Promise.all(sides.map((video) => video.play()));
  const ended = sides.map((video) => new Promise((done) => { video.onended = done; }));
  const clock = setInterval(() => {
    const drift = sides[1].currentTime - sides[0].currentTime;
    if (Math.abs(drift) > 0.05 && !sides[1].ended && !sides[0].ended) sides[1].currentTime = sides[0].currentTime;
  }, 250);
  await Promise.all(ended);
  clearInterval(clock);
  if (mine !== playing) return;
  watched = Math.min(...sides.map((video) => video.duration));
  choices(true);
  setTimeout(() => { if (mine === playing && ballot) play(); }, 400);
}

function choices(open) {
  document.querySelectorAll("[data-choice]").forEach((button) => { button.disabled = !open; });
}

async function next() {
  choices(false);
  watched = 0;
  try {
    ballot = await ask(`api/ballot?rater=${encodeURIComponent(rater)}`);
  } catch (error) {
    ballot = null;
    playing++;
    say(error.message);
    return;
  }
  $("prompt").textContent = ballot.prompt;
  $("count").textContent = TEXT[language].count(ballot.votes_cast);
  $("left").src = ballot.left;
  $("right").src = ballot.right;
  play().catch((error) => say(error.message));
}

async function vote(choice) {
  if (!ballot || watched === 0) return;
  const cast = ballot;
  ballot = null;
  choices(false);
  try {
    const shown = await send("api/votes", { ballot: cast.ballot, rater, choice, watched_s: watched });
    say(TEXT[language].was(shown.left, shown.right));
  } catch (error) {
    say(error.message);
  }
  await next();
}

async function showBoard() {
  const text = TEXT[language];
  const board = await ask("api/board");
  const table = tableOf(text.head, board.rows.map((row) => {
    const open = row.badge !== "hidden";
    return [
      cell(row.algorithm),
      cell(open ? row.rating.toFixed(0) : "", true),
      cell(open && row.low !== null ? `${row.low.toFixed(0)} – ${row.high.toFixed(0)}` : "", true),
      cell(row.votes, true), cell(row.items, true),
      cell(open ? `${Math.round(100 * row.win_rate)} %` : "", true), cell(text.badges[row.badge]),
    ];
  }));
  const note = quiet(board.alpha !== null ? text.agreement(board.alpha) : board.note);
  $("board").replaceChildren(table, note, verdict(board.publication, text));
}

document.querySelectorAll("[data-choice]").forEach((button) => {
  button.addEventListener("click", () => vote(button.dataset.choice));
});
document.addEventListener("keydown", (event) => {
  if ($("booth").hidden || event.repeat) return;
  const button = document.querySelectorAll("[data-choice]")["1234".indexOf(event.key)];
  if (button && !button.disabled) vote(button.dataset.choice);
});
$("again").addEventListener("click", () => play().catch((error) => say(error.message)));
begin(next, translate);
