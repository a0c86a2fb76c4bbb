"""Errors, notes on models and summaries of workflows for readers of Chinese; what we have not in it stays as it is."""

from __future__ import annotations

import re

_SENTENCES: tuple[tuple[str, str], ...] = (
    (
        r"(\d+) jobs wait or run already; ask again when one has ended",
        "已有 {0} 个任务在排队或运行，请等其中一个结束后再试",
    ),
    (
        r"this key may ask (\d+) times a minute; ask again in (\d+) s",
        "此密钥每分钟最多请求 {0} 次，请在 {1} 秒后再试",
    ),
    (r"the uploaded file is empty", "上传的文件是空的"),
    (r"an upload may have (\d+) MiB", "单个上传文件最大 {0} MiB"),
    (r"your files take (\d+) bytes already; delete some", "您的文件已占用 {0} 字节，请先删除一些"),
    (r"the file cannot be decoded: .*", "文件无法解码，请换一个图片或视频文件"),
    (r"'?input_reference'? (?:is no|cannot be read).*", "上传的文件无法读取，请换一个图片或视频文件"),
    (r"the picture is (\d+x\d+); scale it down", "图片为 {0}，过大，请缩小后再上传"),
    (r"the clip lasts ([\d.]+) s; at most (\d+) are taken", "视频长 {0} 秒，最长 {1} 秒"),
    (r"(\d+x\d+) is too large: a side may have (\d+) pixels", "{0} 过大：每边最多 {1} 像素"),
    (r"unknown model '(.*?)'.*", "没有名为“{0}”的模型"),
    (r"unknown LoRA '(.*?)'.*", "没有名为“{0}”的 LoRA"),
    (r"unknown dataset '(.*?)'.*", "没有名为“{0}”的数据集"),
    (r"unknown setting of (\S+) '(.*?)'.*", "工作流 {0} 没有参数“{1}”"),
    (r"'(.*?)' is not name=value", "“{0}”应写成 名称=值"),
    (r"the value of '(.*?)' cannot be read", "“{0}”的值无法解析"),
    (r"(\S+) makes (.+?), not (\S+)", "{0} 能做 {1}，不能做 {2}"),
    (r"(.+) takes no LoRA", "{0} 不支持 LoRA"),
    (r"'(.*?)' cannot be fine-tuned.*", "“{0}”不能微调"),
    (r"workflow '(.*?)' treats a clip: send one as input_reference", "工作流“{0}”处理视频，请先上传一段视频"),
    (r"the prompt was refused by this service's moderation.*", "提示词未通过本服务的内容审核"),
    (r"the upload was refused by this service's moderation.*", "上传内容未通过本服务的内容审核"),
    (r"the result was refused by this service's moderation.*", "生成结果未通过本服务的内容审核"),
    (r"(.*) could not be moderated; ask again later", "暂时无法完成内容审核，请稍后再试"),
    (
        r"every clip is too short: '(.*?)' has (\d+) frames, (\d+) are needed.*",
        "所有视频都太短：“{0}”有 {1} 帧，至少需要 {2} 帧",
    ),
    (
        r"(\d+) of (\d+) clips in '.*?' have no caption, first '(.*?)'.*",
        "{1} 个片段中有 {0} 个没有描述，第一个是“{2}”；请填写描述，或设置触发词",
    ),
    (r"name='(.*?)': use Latin letters, digits, - and _", "名称“{0}”只能用拉丁字母、数字、- 和 _"),
    (r"training '.*?' is still saving its checkpoint; ask again in a moment", "检查点仍在保存，请稍后再试"),
    (r"(?:video|training) '.*?' is not finished; cancel it first", "任务尚未结束，请先取消"),
    (
        r"its worker died (\d+) times while it ran; it will not be tried again",
        "工作进程崩溃了 {0} 次，不再重试",
    ),
    (
        r"alpha needs units that two raters or more have judged",
        "至少两位评分者评过同一对视频后，才能计算一致性",
    ),
    (r"alpha has no value where every answer is the same", "所有答案都相同，无法计算一致性"),
    (r"these groups were never compared with one another: .*", "有些算法之间还没有比较过，请先为它们投票"),
    (
        r"left out '(.*?)': too short: (\d+) frames, at least (\d+) are needed",
        "已跳过“{0}”：只有 {1} 帧，至少需要 {2} 帧",
    ),
    (r"left out '(.*?)': .*", "已跳过“{0}”：无法读取"),
    (r"an error of ours; see the log", "内部错误，详见服务日志"),
    (
        r"(\S+) needs ([\d.]+) GiB for its weights alone, and the largest worker has ([\d.]+) GiB",
        "仅 {0} 的权重就需要 {1} GiB，而最大的工作进程只有 {2} GiB",
    ),
    (
        r"this training needs about ([\d.]+) GiB and ([\d.]+) may be used; .*",
        "这次训练约需 {0} GiB，可用 {1} GiB；请减小批大小、帧数或画面",
    ),
)
_CHINESE = tuple((re.compile(pattern, re.DOTALL), text) for pattern, text in _SENTENCES)


# Phrases of the notes on models, longer ones first; what is left between them is numbers and names.
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"a picture's person moves by poses: tiles of (\d+) frames", r"图中人物按姿态运动：每段 \1 帧"),
    (r"(SVD-XT 1\.1) is downloaded beside it", r"另行下载 \1"),
    (r"tiny, of a procedural toy world", "小模型，学的是程序生成的玩具世界"),
    (r"Sprout that goes on from a picture", "从图片开始的 Sprout"),
    (r"comes with (\S+) and runs on a CPU", r"随 \1 提供，CPU 即可运行"),
    (r"things in a picture follow drawn paths: ", "图片中的物体沿手绘轨迹运动："),
    (r"things follow drawn paths: ", "物体沿手绘轨迹运动："),
    (r"other parts from (\S+)", r"其余部件取自 \1"),
    (r"edges, depth, poses or a first frame: ", "边缘、深度、姿态或首帧："),
    (r"edges, depth or poses: ", "边缘、深度或姿态："),
    (r"poses: ", "姿态："),
    (r"any shape of up to (\d+x\d+) pixels", r"任意画幅，像素数不超过 \1"),
    (r"any shape", "任意画幅"),
    (r"English only", "仅支持英文"),
    (r"its VAE and (\S+) are downloaded beside it", r"另行下载其 VAE 和 \1"),
    (r"(\S+) comes from its own repository", r"\1 来自单独的仓库"),
    (r"may show watermarks", "可能带水印"),
    (r"distilled, twice as fast", "蒸馏版，速度加倍"),
    (r"SVD-XT with the extension (\S+):", r"SVD-XT 加扩展 \1："),
    (r"(Realistic Vision \S+) with (\S+):", r"\1 加 \2："),
    (r"as (\S+), from a picture", r"同 \1，从图片开始"),
    (r"from a picture", "从图片开始"),
    (r"up to (\d+) frames", r"最多 \1 帧"),
    (r"(\d+) to (\d+) frames", r"\1 至 \2 帧"),
    (r"(\d+) frames and more", r"\1 帧起"),
    (r"(\d+) frames", r"\1 帧"),
    (r"up to (\d+x\d+)", r"最大 \1"),
    (r"; ", "；"),
    (r", ", "，"),
)
_SUMMARIES = {
    "image-to-video": "任意画幅的图片变成同样画幅的视频，不裁切也不拉伸。",
    "loop": "一句话变成首尾无缝循环的视频（往返播放）。",
    "text-to-video-plus": "先扩写一句话，再生成视频，最后让动作更流畅。",
}


def noted(note: str, language: str) -> str:
    """A note on a model in the page's language."""
    if language == "zh":
        for phrase, text in _PHRASES:
            note = re.sub(phrase, text, note)
    return note


def summarised(workflow: str, summary: str, language: str) -> str:
    """What a workflow does, in the page's language."""
    return _SUMMARIES.get(workflow, summary) if language == "zh" else summary


def told(message: str, language: str) -> str:
    """The message in the page's language, where it is one that we have in it."""
    if language == "zh":
        for pattern, text in _CHINESE:
            if match := pattern.fullmatch(message):
                return text.format(*match.groups())
    return message
