"""The words of the toy world, in English and Chinese: every attribute with all the ways to say it."""

from __future__ import annotations

Words = dict[str, tuple[str, ...]]

# fmt: off

COLOURS_EN: Words = {
    "red": ("red", "red", "scarlet", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "golden"),
    "green": ("green",),
    "cyan": ("cyan", "turquoise", "teal"),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
    "black": ("black",),
}
KINDS_EN: Words = {
    "ball": ("ball", "ball", "circle", "sphere"),
    "square": ("square", "box", "cube", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "ring": ("ring", "donut", "hoop"),
    "diamond": ("diamond", "rhombus"),
    "moon": ("moon", "crescent", "crescent moon"),
    "car": ("car", "car", "automobile", "taxi"),
    "boat": ("boat", "sailboat", "ship"),
    "rocket": ("rocket", "spaceship"),
    "fish": ("fish",),
    "cat": ("cat", "kitten", "cat face"),
    "house": ("house", "home", "cottage"),
    "tree": ("tree",),
    "flower": ("flower", "blossom"),
}
SIZES_EN: Words = {"small": ("small", "little", "tiny"), "medium": ("",), "big": ("big", "large",
        "huge", "giant")}
WHO_EN: Words = {
    "man": ("man", "guy"),
    "woman": ("woman", "lady"),
    "boy": ("boy",),
    "girl": ("girl",),
    "person": ("person", "someone", "human"),
}
BUILDS_EN: Words = {
    "thin": ("thin", "slim", "skinny", "slender"),
    "average": ("",),
    "fat": ("fat", "chubby", "overweight", "plump", "heavy"),
}
BACKGROUNDS_EN: Words = {
    "white": ("on a white background", "against a white background", "on a plain white background"),
    "grey": ("on a grey background", "on a gray background", "against a plain gray background"),
    "blue": ("on a blue background", "against a light blue background", "on a plain blue background"),
    "pink": ("on a pink background", "against a light pink background", "on a plain pink background"),
    "meadow": (
        "over green grass", "on the grass", "on a meadow", "in a green meadow", "in a green field",
        "in the park",
        "on the lawn", "in a garden", "over a meadow", "in the countryside",
    ),
    "desert": ("in the desert", "on the sand", "over sand dunes", "in a sandy desert", "over the desert"),
    "night": ("at night", "in the night sky", "on a starry night", "in the dark night",
        "under the stars", "in the dark"),
    "space": ("in space", "in outer space", "in the universe", "in deep space", "through space",
        "in the galaxy"),
    "city": (
        "in the city", "on a city street", "in town", "on the street", "in front of tall buildings",
        "downtown",
        "on the road", "through the city",
    ),
    "mountains": ("in the mountains", "in front of mountains", "in front of snowy mountains",
        "by the mountains", "over the hills"),
    "sea": ("at sea", "on the sea", "over the ocean", "by the sea", "on the water", "over the sea",
        "on the ocean", "at the beach"),
    "underwater": ("underwater", "under water", "under the sea", "deep in the ocean",
        "at the bottom of the sea"),
    "snow": ("in the snow", "on the snow", "in winter", "on a snowy field", "on a snowy day",
        "over the snow"),
    "room": ("in a room", "in the room", "inside a house", "indoors", "in the living room", "at home",
        "in a bedroom"),
    "sunset": ("at sunset", "in the sunset", "at dusk", "in the evening", "under a sunset sky",
        "in front of the sunset"),
}
IN_THE_SEA_EN = ("in the sea", "in the ocean", "in the water")
"""Under water for a fish, on the sea for everything else."""

DIRECTIONS_EN: Words = {
    "right": ("to the right", "right", "rightwards", "from left to right", "toward the right",
        "towards the right"),
    "left": ("to the left", "left", "leftwards", "from right to left", "toward the left", "towards the left"),
    "up": ("up", "upwards", "upward", "to the top", "straight up"),
    "down": ("down", "downwards", "downward", "to the bottom", "straight down"),
    "up_right": ("up and to the right", "to the upper right", "up right", "diagonally up to the right",
        "to the top right"),
    "up_left": ("up and to the left", "to the upper left", "up left", "diagonally up to the left",
        "to the top left"),
    "down_right": ("down and to the right", "to the lower right", "down right",
        "diagonally down to the right", "to the bottom right"),
    "down_left": ("down and to the left", "to the lower left", "down left",
        "diagonally down to the left", "to the bottom left"),
}
VERBS_EN: dict[str, tuple[tuple[str, str], ...]] = {
    "": (("moves", "moving"), ("goes", "going"), ("slides", "sliding"), ("travels", "traveling"),
        ("moves", "moving")),
    "ball": (("rolls", "rolling"), ("moves", "moving"), ("flies", "flying")),
    "star": (("flies", "flying"), ("moves", "moving"), ("shoots", "shooting")),
    "heart": (("floats", "floating"), ("moves", "moving"), ("drifts", "drifting")),
    "moon": (("floats", "floating"), ("moves", "moving"), ("drifts", "drifting")),
    "car": (("drives", "driving"), ("drives", "driving"), ("moves", "moving"), ("goes", "going"),
        ("speeds", "speeding")),
    "boat": (("sails", "sailing"), ("sails", "sailing"), ("moves", "moving"), ("floats", "floating")),
    "rocket": (("flies", "flying"), ("flies", "flying"), ("moves", "moving"), ("shoots", "shooting")),
    "fish": (("swims", "swimming"), ("swims", "swimming"), ("moves", "moving"), ("swims", "swimming")),
    "cat": (("runs", "running"), ("walks", "walking"), ("moves", "moving"), ("goes", "going")),
    "flower": (("floats", "floating"), ("moves", "moving"), ("drifts", "drifting")),
}
"""Verbs of going somewhere that fit a kind, as (says, saying); the empty key is for any kind."""

MOVES_EN: dict[str, tuple[tuple[str, str], ...]] = {
    "up": (("rises", "rising"), ("rises up", "rising up")),
    "down": (("falls", "falling"), ("falls down", "falling down"), ("sinks", "sinking"),
        ("drops", "dropping")),
    "bounce": (("bounces", "bouncing"), ("bounces", "bouncing"),
        ("bounces up and down", "bouncing up and down"), ("hops", "hopping")),
    "spin": (("spins", "spinning"), ("rotates", "rotating"), ("turns around", "turning around"),
        ("twirls", "twirling")),
    "grow": (("grows", "growing"), ("gets bigger", "getting bigger"), ("becomes larger", "becoming larger")),
    "shrink": (("shrinks", "shrinking"), ("gets smaller", "getting smaller"),
        ("becomes smaller", "becoming smaller")),
    "circle": (("moves in a circle", "moving in a circle"),
        ("goes around in circles", "going around in circles")),
    "sway": (("sways", "swaying"), ("swings", "swinging"),
        ("rocks back and forth", "rocking back and forth"), ("wobbles", "wobbling")),
    "still": (("stands still", "standing still"), ("does not move", "not moving"),
        ("stays still", "staying still"), ("rests", "resting")),
    "walk": (("walks", "walking"), ("strolls", "strolling")),
    "run": (("runs", "running"), ("jogs", "jogging")),
    "wave": (("waves", "waving"), ("waves hello", "waving hello"), ("waves a hand", "waving a hand")),
    "jump": (("jumps", "jumping"), ("jumps up and down", "jumping up and down"), ("leaps", "leaping")),
    "dance": (("dances", "dancing"),),
    "squat": (("squats", "squatting"), ("does squats", "doing squats")),
    "jumping_jacks": (("does jumping jacks", "doing jumping jacks"),),
    "arms_up": (("raises both arms", "raising both arms"), ("lifts both arms", "lifting both arms"),
        ("puts arms up", "putting arms up")),
    "stand": (("stands", "standing"), ("stands there", "standing there")),
}
CAMERAS_EN: Words = {
    "zoom_in": ("the camera zooms in", "zooming in", "camera zoom in"),
    "zoom_out": ("the camera zooms out", "zooming out", "camera zoom out"),
    "pan_right": ("the camera pans right", "the camera pans to the right", "camera pan right"),
    "pan_left": ("the camera pans left", "the camera pans to the left", "camera pan left"),
}

COLOURS_ZH: Words = {
    "red": ("红", "大红"),
    "orange": ("橙", "橘"),
    "yellow": ("黄", "金黄"),
    "green": ("绿",),
    "cyan": ("青", "蓝绿"),
    "blue": ("蓝",),
    "purple": ("紫",),
    "pink": ("粉", "粉红"),
    "white": ("白",),
    "black": ("黑",),
}
KINDS_ZH: Words = {
    "ball": ("球", "皮球", "圆球"),
    "square": ("方块", "正方形", "盒子"),
    "triangle": ("三角形", "三角"),
    "star": ("星星", "五角星"),
    "heart": ("爱心", "心", "心形"),
    "ring": ("圆环", "环"),
    "diamond": ("菱形", "钻石"),
    "moon": ("月亮", "月牙"),
    "car": ("汽车", "车", "轿车"),
    "boat": ("船", "帆船"),
    "rocket": ("火箭", "飞船"),
    "fish": ("鱼", "鱼儿"),
    "cat": ("猫", "猫咪"),
    "house": ("房子", "屋子"),
    "tree": ("树", "树木"),
    "flower": ("花", "花朵"),
}
MEASURES_ZH: Words = {
    "": ("个",),
    "star": ("颗", "个"),
    "heart": ("颗", "个"),
    "moon": ("个", "轮"),
    "car": ("辆", "台"),
    "boat": ("艘", "条", "只"),
    "rocket": ("枚", "个", "架"),
    "fish": ("条", "只"),
    "cat": ("只",),
    "house": ("座", "栋", "个"),
    "tree": ("棵",),
    "flower": ("朵",),
}
SIZES_ZH: Words = {"small": ("小", "小小的", "很小的"), "medium": ("",), "big": ("大", "大大的", "巨大的", "很大的")}
WHO_ZH: Words = {
    "man": ("男人", "男子", "男士"),
    "woman": ("女人", "女子", "女士"),
    "boy": ("男孩", "小男孩"),
    "girl": ("女孩", "小女孩"),
    "person": ("人",),
}
BUILDS_ZH: Words = {"thin": ("瘦", "瘦瘦的", "苗条的"), "average": ("",), "fat": ("胖", "胖胖的", "肥胖的")}
BACKGROUNDS_ZH: Words = {
    "white": ("在白色背景上", "在白色的背景前"),
    "grey": ("在灰色背景上", "在灰色的背景前"),
    "blue": ("在蓝色背景上", "在浅蓝色的背景前"),
    "pink": ("在粉色背景上", "在粉红色的背景前"),
    "meadow": ("在草地上", "在绿色的草地上", "在绿草地上", "在公园里", "在草坪上", "在田野里", "在草原上"),
    "desert": ("在沙漠里", "在沙漠中", "在沙地上", "在沙丘上"),
    "night": ("在夜空中", "在夜里", "在夜晚", "在星空下", "在深夜", "在夜空里"),
    "space": ("在太空中", "在宇宙中", "在太空里", "在外太空", "在宇宙里"),
    "city": ("在城市里", "在城市中", "在街上", "在马路上", "在大街上", "在高楼前"),
    "mountains": ("在山里", "在山前", "在雪山前", "在群山中", "在高山前"),
    "sea": ("在海上", "在大海上", "在海面上", "在海边", "在水面上"),
    "underwater": ("在水下", "在海底", "在水里", "在水中"),
    "snow": ("在雪地里", "在雪地上", "在雪中", "在下雪天", "在冬天"),
    "room": ("在房间里", "在屋里", "在室内", "在家里", "在客厅里"),
    "sunset": ("在夕阳下", "在日落时", "在黄昏", "在傍晚", "在晚霞中"),
}
IN_THE_SEA_ZH = ("在海里", "在大海里")
DIRECTIONS_ZH: Words = {
    "right": ("右", "右边"),
    "left": ("左", "左边"),
    "up": ("上", "上方"),
    "down": ("下", "下方"),
    "up_right": ("右上", "右上方"),
    "up_left": ("左上", "左上方"),
    "down_right": ("右下", "右下方"),
    "down_left": ("左下", "左下方"),
}
VERBS_ZH: Words = {
    "": ("移动", "运动", "移", "走"),
    "ball": ("滚动", "滚", "移动"),
    "star": ("飞", "移动"),
    "heart": ("飘", "移动"),
    "moon": ("飘", "移动"),
    "car": ("开", "行驶", "移动", "开去"),
    "boat": ("航行", "开", "移动"),
    "rocket": ("飞", "飞行", "移动"),
    "fish": ("游", "游动", "游去"),
    "cat": ("跑", "走", "移动"),
    "flower": ("飘", "移动"),
}
MOVES_ZH: Words = {
    "up": ("上升", "升起", "升上去"),
    "down": ("下落", "落下", "掉下来", "下降"),
    "bounce": ("弹跳", "蹦跳", "上下弹跳", "弹来弹去", "蹦蹦跳跳"),
    "spin": ("旋转", "转动", "自转"),
    "grow": ("变大", "长大", "越来越大"),
    "shrink": ("变小", "缩小", "越来越小"),
    "circle": ("绕圈", "转圈", "画圈"),
    "sway": ("摇摆", "摇晃", "晃动"),
    "still": ("静止不动", "不动", "静静地停着"),
    "walk": ("走", "走路", "行走"),
    "run": ("跑", "跑步", "奔跑"),
    "wave": ("挥手", "招手", "打招呼"),
    "jump": ("跳", "跳跃", "跳起来"),
    "dance": ("跳舞", "舞蹈"),
    "squat": ("深蹲", "下蹲", "蹲下"),
    "jumping_jacks": ("开合跳", "做开合跳"),
    "arms_up": ("举起双手", "举手", "抬起双臂"),
    "stand": ("站着", "站立"),
}
CAMERAS_ZH: Words = {
    "zoom_in": ("镜头拉近", "镜头慢慢拉近", "镜头放大"),
    "zoom_out": ("镜头拉远", "镜头慢慢拉远"),
    "pan_right": ("镜头向右移动", "镜头右移"),
    "pan_left": ("镜头向左移动", "镜头左移"),
}
