"""The label inside a file's metadata: a JSON object under the name `AIGC`, in pictures within an XMP packet.

Source: GB 45438-2025, implicit label; XMP namespace of TC260. IPTC's DigitalSourceType stands beside it in XMP.
"""

from __future__ import annotations

import re
from html import escape, unescape

from pydantic import ValidationError

from vitascope.recipe import AigcLabel

TAG = "AIGC"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    TC260:AIGC="{aigc}"
    Iptc4xmpExt:DigitalSourceType="{source}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
_IN_PACKET = re.compile(r"""TC260:AIGC\s*(?:=\s*"([^"]*)"|=\s*'([^']*)'|>([^<]*)<)""")


def as_text(label: AigcLabel) -> str:
    """The JSON object that the standard describes, all seven fields."""
    return label.model_dump_json(by_alias=True)


def parse(text: str) -> AigcLabel | None:
    """The label in such a text; None for what is no label, so that a stranger's file can still be read."""
    try:
        return AigcLabel.model_validate_json(text)
    except ValidationError:
        return None


def as_xmp(text: str) -> bytes:
    """An XMP packet with the label that `as_text` has written."""
    return _PACKET.format(aigc=escape(text), source=GENERATED).encode()


def from_xmp(packet: bytes | str) -> str | None:
    """The label's text in an XMP packet, or None."""
    text = packet.decode(errors="replace") if isinstance(packet, bytes) else packet
    found = _IN_PACKET.search(text)
    return unescape(next(group for group in found.groups() if group is not None)) if found else None
