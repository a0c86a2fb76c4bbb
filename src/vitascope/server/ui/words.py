"""Every word of the pages, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = {"en": "English", "zh": "简体中文"}

_WORDS: dict[str, tuple[str, str]] = {
    # frame
    "create": ("Create", "创作"),
    "fine_tune": ("Fine-tune", "微调"),
    "jobs": ("Jobs", "任务"),
    "workflows": ("Workflows", "工作流"),
    "models": ("Models", "模型"),
    "running": ("{n} running", "{n} 个进行中"),
    "waiting": ("{n} waiting", "{n} 个排队"),
    "idle": ("Ready", "空闲"),
    "no_worker": ("No worker", "没有工作进程"),
    "sign_out": ("Sign out", "退出"),
    # create
    "mode": ("Start from", "起点"),
    "text-to-video": ("Words", "文字"),
    "image-to-video": ("A picture", "图片"),
    "video-to-video": ("A clip", "视频"),
    "prompt": ("What shall it show?", "画面里有什么？"),
    "prompt_hint": (
        "a red ball bounces over green grass",
        "一只红色的球在绿色草地上弹跳",
    ),
    "picture": ("First frame", "首帧图片"),
    "clip": ("Driving clip", "驱动视频"),
    "strength": ("How much to change", "改动程度"),
    "strength_info": ("0 keeps the clip, 1 forgets it", "0 保留原片，1 完全重做"),
    "model": ("Model", "模型"),
    "not_here": ("not downloaded", "未下载"),
    "preset": ("Quality", "质量"),
    "draft": ("Draft", "草稿"),
    "standard": ("Standard", "标准"),
    "fine": ("Fine", "精细"),
    "details": ("Details", "详细设置"),
    "width": ("Width", "宽"),
    "height": ("Height", "高"),
    "num_frames": ("Frames", "帧数"),
    "fps": ("Frames a second", "每秒帧数"),
    "steps": ("Denoising steps", "去噪步数"),
    "guidance": ("Guidance scale", "引导强度"),
    "negative": ("What it shall not show", "不希望出现的内容"),
    "seed": ("Seed", "随机种子"),
    "new_seed": ("A new seed each time", "每次换新种子"),
    "make": ("Create the clip", "生成视频"),
    "recent": ("Recent", "最近"),
    "nothing_yet": ("Nothing here yet", "这里还没有内容"),
    "create_title": ("Your clip appears here", "视频会出现在这里"),
    "create_text": (
        "Say what it shall show, press Create, and watch it come out of the noise.",
        "写下画面内容，点击生成，看着它从噪声中浮现。",
    ),
    # progress
    "queued": ("Waiting", "排队中"),
    "queue_place": ("{n} before it", "前面还有 {n} 个"),
    "in_progress": ("Running", "进行中"),
    "completed": ("Done", "完成"),
    "failed": ("Failed", "失败"),
    "cancelled": ("Cancelled", "已取消"),
    "load": ("Loading the model", "加载模型"),
    "denoise": ("Denoising", "去噪"),
    "decode": ("Decoding", "解码"),
    "write": ("Writing the file", "写入文件"),
    "eta": ("about {t} left", "约剩 {t}"),
    "took": ("took {t}", "用时 {t}"),
    "step_of": ("step {a} of {b}", "第 {a} / {b} 步"),
    "cancel": ("Cancel", "取消"),
    "reuse_seed": ("Use this seed again", "沿用此种子"),
    "download": ("Download", "下载"),
    "recipe": ("Recipe", "配方"),
    "labelled": ("Labelled as AI-generated", "已加 AI 生成标识"),
    # LoRA and fine-tuning
    "loras": ("LoRA", "LoRA"),
    "lora_weight": ("How strongly it works", "LoRA 强度"),
    "my_clips": ("My own clips", "我自己的片段"),
    "train_from": ("Learn from", "学习素材"),
    "train_clips": ("Clips or pictures; captions as .txt, .csv or .jsonl", "视频或图片；描述可用 .txt、.csv 或 .jsonl"),
    "captions": ("What each one shows", "每个片段的描述"),
    "clip_name": ("Clip", "片段"),
    "caption": ("Caption", "描述"),
    "lora_name": ("Name", "名称"),
    "trigger": ("Trigger word", "触发词"),
    "base_model": ("Base model", "基础模型"),
    "sample_prompts": ("Sample prompts", "样片提示词"),
    "sample_prompts_info": (
        "one a line; clips are made from them while it learns",
        "每行一条；训练途中会用它们生成样片",
    ),
    "sample_prompts_hint": ("inkwash, a red ball bounces over green grass", "inkwash，一只红色的球在草地上弹跳"),
    "train_length": ("How long to learn", "训练长度"),
    "train_steps": ("Training steps", "训练步数"),
    "batch_size": ("Clips at once", "批大小"),
    "rank": ("Rank", "秩"),
    "lr": ("Learning rate", "学习率"),
    "sample_every": ("Samples every so many steps", "每隔多少步出样片"),
    "train_start": ("Start training", "开始训练"),
    "train_title": ("Teach a model your look", "让模型学会您的风格"),
    "train_text": (
        "Drop twenty clips or so, say what each shows, and choose a word that calls the new.",
        "放入约二十个片段，写明各自的内容，再选一个触发词。",
    ),
    "need_clips": ("Drop at least one clip or picture.", "请至少放入一个视频或图片。"),
    "trainings": ("Trainings", "训练"),
    "encode clips": ("Encoding the clips", "编码片段"),
    "encode captions": ("Encoding the captions", "编码描述"),
    "train": ("Training", "训练中"),
    "paused": ("Paused", "已暂停"),
    "paused_told": ("Paused, checkpoint saved", "已暂停，检查点已保存"),
    "pause": ("Stop", "停止"),
    "resume": ("Go on", "继续"),
    "try_it": ("Try it", "试用"),
    "loss": ("Loss", "损失"),
    "loss_curve": ("Loss by step", "损失曲线"),
    "clips_n": ("{n} clips", "{n} 个片段"),
    "a_step": ("{t} s a step", "每步 {t} 秒"),
    "download_lora": ("Download LoRA", "下载 LoRA"),
    "samples": ("Samples", "样片"),
    "at_step": ("Step {n}", "第 {n} 步"),
    "warnings_n": ("{n} warnings", "{n} 条提醒"),
    # jobs
    "filter": ("Show", "显示"),
    "all": ("All", "全部"),
    "jobs_title": ("Choose a job", "选择一个任务"),
    "jobs_text": (
        "Its clip, its facts and the recipe that made it are shown here.",
        "这里会显示它的视频、信息和生成配方。",
    ),
    "workflows_title": ("Run a workflow", "运行一个工作流"),
    "workflows_text": (
        "Set its steps, run it, and watch it come out of the noise.",
        "设置各步参数，运行，看着视频从噪声中浮现。",
    ),
    "again": ("Make again", "再次生成"),
    "again_seed": ("With a new seed", "换种子再生成"),
    "delete": ("Delete", "删除"),
    "compare": ("Compare", "对比"),
    "compare_a": ("Left", "左"),
    "compare_b": ("Right", "右"),
    "compare_hint": ("Choose two finished clips; they play in step.", "选择两个已完成的视频，同步播放。"),
    "play": ("Play / pause", "播放 / 暂停"),
    "rerun": ("Run again from a step", "从某一步重新运行"),
    "rerun_step": ("From", "从"),
    "rerun_changes": ("Changes", "改动"),
    "rerun_info": (
        "name=value, separated by commas; what comes before the step is not made again",
        "名称=值，用逗号分隔；该步之前的结果不会重做",
    ),
    "rerun_go": ("Run", "运行"),
    "deleted": ("The job is deleted.", "任务已删除。"),
    "older": ("Older", "较早"),
    "newer": ("Newer", "较新"),
    # workflows
    "workflow": ("Workflow", "工作流"),
    "settings": ("Settings", "参数"),
    "input": ("Picture or clip", "图片或视频"),
    "run": ("Run the workflow", "运行工作流"),
    "default": ("default", "默认"),
    "around": ("around", "前后"),
    # models
    "search": ("Search", "搜索"),
    "search_hint": ("name, task, licence", "名称、任务、许可"),
    "can_run": ("Models", "模型"),
    "to_download": ("to download", "需下载"),
    "tracked": ("Tracked algorithms", "跟踪的算法"),
    "here": ("on this machine", "已在本机"),
    "download_gib": ("{n} GiB to download", "需下载 {n} GiB"),
    "parameters": ("{n} B parameters", "{n} B 参数"),
    "attention": ("Attention", "注意力"),
    "vae": ("VAE", "VAE"),
    "text_encoders": ("Text encoder", "文本编码器"),
    "memory": ("Memory", "显存"),
    "no_weights": ("test pictures without a model", "不用模型的测试画面"),
    # keys
    "key_title": ("This service asks for a key", "此服务需要密钥"),
    "key_text": ("Paste the API key that you were given.", "请粘贴您的 API 密钥。"),
    "key_label": ("API key", "API 密钥"),
    "key_go": ("Enter", "进入"),
    "key_wrong": ("This key is not known here, or was revoked.", "密钥不存在或已被吊销。"),
    "key_may_not_train": (
        "This key may not train; ask for one with the scope train.",
        "此密钥不能训练，请申请带有 train 权限的密钥。",
    ),
    "key_may_not": ("This key may look, not make.", "此密钥只能查看，不能生成。"),
    # errors
    "need_picture": ("Give a picture to start from.", "请先提供一张图片。"),
    "need_clip": ("Give a clip to start from.", "请先提供一段视频。"),
    "need_prompt": ("Say what the clip shall show.", "请描述视频的画面。"),
    "s": ("{n} s", "{n} 秒"),
    "min": ("{n} min", "{n} 分"),
}
EXAMPLES = {
    "en": (
        "a red ball bounces over green grass",
        "a blue fish moves to the left in front of the sea",
        "a yellow star spins in front of a night sky",
    ),
    "zh": ("一只红色的球在绿色草地上弹跳", "一条蓝色的鱼在海里向左移动", "一颗黄色的星星在夜空前旋转"),
}


class Words:
    """The words of one language. `words["cancel"]`; `words("eta", t="3 s")` fills in what is in braces."""

    def __init__(self, language: str) -> None:
        self.language = language
        at = list(LANGUAGES).index(language)
        self._texts: Mapping[str, str] = {key: both[at] for key, both in _WORDS.items()}

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def __call__(self, key: str, **values: object) -> str:
        return self._texts[key].format(**values)

    def named(self, key: str) -> str:
        """The word for a name that comes from a model or step; the name itself where we have none."""
        return self._texts.get(key, key)

    def lasting(self, seconds: float) -> str:
        """A length of time for people."""
        if seconds < 90:
            return self("s", n=f"{seconds:.1f}" if seconds < 9.95 else round(seconds))
        return self("min", n=round(seconds / 60))
