"use strict";

const TEXT = {
  en: {
    title: "scores", home: "All pages", board: "Board", back: "Score", name: "Your name or number", begin: "Begin", again: "Play again",
    s1: "Bad", s2: "Poor", s3: "Fair", s4: "Good", s5: "Excellent",
    welcome: "One clip at a time, without a name. Watch it to the end, then say how good it is.",
    count: (n, all) => `${n} of ${all} clips scored.`, was: (name) => `That was ${name}.`,
    head: ["Algorithm", "Mean", "95 % interval", "Weighed", "Scores", "Clips", "Raters", "1 – 5"],
    differential: "Against the reference",
    raters: ["Rater", "Scores", "Above the others", "With the others", ""],
    in_step: { true: "in step", false: "out of step" }, left_out: "left out",
    agreement: (a, icc) => `Krippendorff's alpha (ordinal): ${a.toFixed(2)}`
      + (icc === null ? "" : `; reliability of the mean, ICC(2,k): ${icc.toFixed(2)}`),
    publishable: "Fit to be published", unpublishable: "Not yet fit to be published", rules: RULES.en,
  },
  zh: {
    title: "评分", home: "返回", board: "榜单", back: "评分", name: "您的姓名或编号", begin: "开始", again: "重播",
    s1: "劣", s2: "差", s3: "中", s4: "良", s5: "优",
    welcome: "每次一个视频，不显示名称。请完整看完，再评定好坏。",
    count: (n, all) => `已评 ${n} / ${all} 个视频。`, was: (name) => `刚才是 ${name}。`,
    head: ["算法", "平均分", "95% 置信区间", "加权分", "评分数", "视频数", "评分者", "1 – 5"],
    differential: "与参考之差",
    raters: ["评分者", "评分数", "高于他人", "与他人相关", ""],
    in_step: { true: "一致", false: "偏离" }, left_out: "已剔除",
    agreement: (a, icc) => `Krippendorff α（有序）：${a.toFixed(2)}`
      + (icc === null ? "" : `；均值信度 ICC(2,k)：${icc.toFixed(2)}`),
    publishable: "可以发布", unpublishable: "尚不宜发布", rules: RULES.zh,
  },
};

let slip = null;
let watched = 0;

function translate() {
  const text = TEXT[language];
  putWords(text);
  if (slip) $("count").textContent = text.count(slip.opinions_given, slip.to_give);
  if (!$("board").hidden) showBoard().catch((error) => $("board").replaceChildren(quiet(error.message)));
}

function scale(open) {
  document.querySelectorAll("[data-score]").forEach((button) => { button.disabled = !open; });
}

async function play() {
  const clip = $("clip"), mine = slip;
  await ready(clip);
  clip.loop = false;
  clip.currentTime = 0;
  clip.onended = () => {
    if (mine !== slip || !slip) return;
    watched = clip.duration;
    scale(true);
    clip.loop = true;
    clip.play();
  };
  await clip.play();
}

async function next() {
  scale(false);
  watched = 0;
  try {
    slip = await ask(`api/slip?rater=${encodeURIComponent(rater)}`);
  } catch (error) {
    slip = null;
    say(error.message);
    return;
  }
  $("prompt").textContent = slip.prompt;
  $("count").textContent = TEXT[language].count(slip.opinions_given, slip.to_give);
  $("clip").src = slip.clip;
  play().catch((error) => say(error.message));
}

async function give(score) {
  if (!slip || watched === 0) return;
  const given = slip;
  slip = null;
  scale(false);
  try {
    const shown = await send("api/opinions", { slip: given.slip, rater, score, watched_s: watched });
    say(TEXT[language].was(shown.algorithm));
  } catch (error) {
    say(error.message);
  }
  await next();
}

function bars(shares) {
  const node = document.createElement("td");
  const box = document.createElement("span");
  box.className = "bars";
  shares.forEach((share, place) => {
    const bar = document.createElement("i");
    bar.style.height = `${100 * share}%`;
    bar.title = `${place + 1}: ${Math.round(100 * share)} %`;
    box.append(bar);
  });
  node.append(box);
  return node;
}

const number = (value, digits) => (value === null ? "–" : value.toFixed(digits));

async function showBoard() {
  const text = TEXT[language];
  const board = await ask("api/board");
  const withReference = board.rows.some((row) => row.differential !== null);
  const head = withReference ? [...text.head, text.differential] : text.head;
  const table = tableOf(head, board.rows.map((row) => [
    cell(row.name), cell(row.mean.toFixed(2), true),
    cell(row.low === null ? "–" : `${row.low.toFixed(2)} – ${row.high.toFixed(2)}`, true),
    cell(number(row.weighed, 2), true), cell(row.opinions, true), cell(row.items, true), cell(row.raters, true),
    bars(row.shares), ...(withReference ? [cell(number(row.differential, 2), true)] : []),
  ]));
  const people = tableOf(text.raters, board.raters.map((row) => [
    cell(row.rater), cell(row.opinions, true), cell(row.bias.toFixed(2), true), cell(number(row.correlation, 2), true),
    cell(row.left_out ? text.left_out : text.in_step[row.is_in_step]),
  ]));
  const notes = board.notes.map(quiet);
  if (board.alpha !== null) notes.unshift(quiet(text.agreement(board.alpha, board.icc_mean)));
  $("board").replaceChildren(table, ...notes, people, verdict(board.publication, text));
}

document.querySelectorAll("[data-score]").forEach((button) => {
  button.addEventListener("click", () => give(Number(button.dataset.score)));
});
document.addEventListener("keydown", (event) => {
  if ($("booth").hidden || event.repeat) return;
  const button = document.querySelector(`[data-score="${CSS.escape(event.key)}"]`);
  if (button && !button.disabled) give(Number(event.key));
});
$("again").addEventListener("click", () => play().catch((error) => say(error.message)));
begin(next, translate);
