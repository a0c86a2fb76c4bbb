"""The words of the year's report, in both languages."""

from __future__ import annotations

from typing import Any

WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "The year in video generation",
        "counts": "1. Algorithms tracked",
        "report_says": "the founding report says",
        "counts_note": (
            "The founding report gives the lengths of its lists and not their members; which algorithms fill them "
            "is this catalogue's choice. Every figure has a source; what nobody published stays empty. Scores are "
            "quoted and not comparable within about a point."
        ),
        "lists": {
            "t2v": "Text to video",
            "i2v": "Picture to video",
            "motion": "Motion-driven",
            "trajectory-i2v": "Trajectory, from a picture",
            "trajectory-t2v": "Trajectory, from text",
        },
        "card_head": (
            "Algorithm",
            "Released",
            "Era",
            "Architecture",
            "Licence",
            "Memory, GB, by its authors",
            "VBench, published",
            "Step here, s",
            "Memory here, GiB",
            "Votes here",
            "Scores here",
            "Sources",
        ),
        "card_note": (
            "Here: our own measurement on one H100 or H200 (docs/benchmarks.md says which), random weights in "
            "bfloat16, as diffusers computes it, the text encoder left out; the size stands in the cell's tip. Only "
            "steps of one size may be compared."
        ),
        "eras": "2. Three eras, and what came since",
        "era_head": ("Era and its rule", "Cards", "Algorithms, by release"),
        "undetermined": "undetermined",
        "architectures": "Architectures compared",
        "statements": "What the founding report says, and what upstream says",
        "statement_head": ("The report", "Verdict", "Upstream", "Sources"),
        "verdicts": {"holds": "holds", "in part": "in part", "contradicted": "contradicted"},
        "measured": "Measured here",
        "run_summary": "{task}: {items} items, {algorithms} algorithms, {clips} clips, {votes} votes, {scores} scores",
        "failures": "Clips that could not be made",
        "correlation": "Do metrics go with what people say?",
        "link_head": ("Metric", "With", "Spearman, 95 %", "Kendall, 95 %", "Algorithms"),
        "with": {"votes": "votes", "scores": "scores"},
        "no_links": "Metrics and votes are not compared: that needs votes on four algorithms or more.",
        "side_by_side": "Side by side",
        "sync": "Clips of one prompt play together and stop at a click; the first items of the suite, none picked out.",
        "speed": "Speed and memory",
        "speed_report": "Mochi, in the founding report",
        "speed_head": ("System", "GPUs", "GB on each", "Seconds"),
        "speed_note": (
            "The report states neither frames, steps, GPU nor versions, so its rows cannot be set against ours."
        ),
        "method": "How to read this page",
        "unknown": "–",
        "in_all": "cards in the catalogue",
        "since": "released {first} to {last}",
        "video": "frames of the clip",
        "truncated": "Further items are left out to keep the page small.",
        "all_speeds": "Every family that we have timed",
        "speed_own_head": ("Algorithm", "Frame size × frames", "Step, s", "Decode, s", "Memory, GiB"),
    },
    "zh": {
        "title": "视频生成年度报告",
        "counts": "1. 前沿算法跟踪",
        "report_says": "原报告所述：",
        "counts_note": (
            "原报告只给出各列表的数量，未列出成员；此处由本目录选定。所有数值均注明来源，无人公布者留空。"
            "得分为引用，约一分之内不可比较。"
        ),
        "lists": {
            "t2v": "文生视频",
            "i2v": "图生视频",
            "motion": "动作驱动",
            "trajectory-i2v": "轨迹控制（图生视频）",
            "trajectory-t2v": "轨迹控制（文生视频）",
        },
        "card_head": (
            "算法",
            "发布",
            "时期",
            "架构",
            "许可",
            "显存（GB，作者公布）",
            "VBench（公布）",
            "本地每步（秒）",
            "本地显存（GiB）",
            "本地投票",
            "本地评分",
            "来源",
        ),
        "card_note": (
            "“本地”为我们在一块 H100 或 H200（哪一块见 docs/benchmarks.md）上的测量：随机权重、bfloat16、"
            "按 diffusers 原样计算、不含文本编码器；尺寸见单元格提示。只有同一尺寸的每步耗时才可比较。"
        ),
        "eras": "2. 三个时期与此后的发展",
        "era_head": ("时期与判据", "数量", "算法（按发布先后）"),
        "undetermined": "未能判定",
        "architectures": "架构对比",
        "statements": "原报告的论述与上游资料",
        "statement_head": ("原报告", "结论", "上游资料", "来源"),
        "verdicts": {"holds": "成立", "in part": "部分成立", "contradicted": "与上游不符"},
        "measured": "本地测量",
        "run_summary": "{task}：{items} 个条目，{algorithms} 个算法，{clips} 个视频，{votes} 票，{scores} 个评分",
        "failures": "未能生成的视频",
        "correlation": "指标与人的评价是否一致",
        "link_head": ("指标", "对照", "Spearman（95%）", "Kendall（95%）", "算法数"),
        "with": {"votes": "投票", "scores": "评分"},
        "no_links": "指标与投票未作比较：至少需要四个算法的投票。",
        "side_by_side": "并排对比",
        "sync": "同一提示词的视频同步播放，点击可暂停；取测试集最前的条目，未经挑选。",
        "speed": "速度与显存",
        "speed_report": "原报告中的 Mochi",
        "speed_head": ("系统", "GPU 数", "每卡显存（GB）", "耗时（秒）"),
        "speed_note": "原报告未说明帧数、步数、GPU 与版本，因此不能与本处数值直接对比。",
        "method": "阅读说明",
        "unknown": "–",
        "in_all": "张目录卡片",
        "since": "发布时间 {first} 至 {last}",
        "video": "视频画面",
        "truncated": "为控制页面大小，其余条目从略。",
        "all_speeds": "我们测过的全部模型",
        "speed_own_head": ("算法", "画面尺寸 × 帧数", "每步（秒）", "解码（秒）", "显存（GiB）"),
    },
}
