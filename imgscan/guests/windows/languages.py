r"""The languages of a Windows: the one it was installed in, those of its user interface.

Source: [MS-LCID] for the numbers; the keys below `Control` as Windows documents them for language packs
(`MUI\UILanguages`, since Vista) and the Multilingual User Interface Pack (`Nls\MUILanguages`, 2003 and XP).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgscan.errors import CorruptStructure, ImageError
from imgscan.guests.windows.hives import SystemHive
from imgscan.model.evidence import AtPath, Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown
from imgscan.model.windows import Languages

_LANGUAGE: Final = "Control\\Nls\\Language"
_INTERFACE: Final = "Control\\MUI\\UILanguages"
_OLD_INTERFACE: Final = "Control\\Nls\\MUILanguages"
_PRIMARY: Final = 0x3FF
_MAX: Final = 256
"""Languages of one Windows; it has about a hundred."""

_TAGS: Final = {
    0x0809: "en-GB",
    0x0804: "zh-CN",
    0x0C04: "zh-HK",
    0x0416: "pt-BR",
    0x0816: "pt-PT",
    0x0C0A: "es-ES",
    0x0C0C: "fr-CA",
    0x080A: "es-MX",
    0x241A: "sr-Latn-RS",
    0x281A: "sr-Cyrl-RS",
}
_LANGUAGES: Final = (
    ". ar bg ca zh cs da de el en es fi fr he hu is it ja ko nl nb pl pt rm ro ru hr sk sq sv th tr ur id uk be sl et "
    "lv lt tg fa vi hy az eu hsb mk st ts tn ve xh zu af ka fo hi mt se ga yi ms kk ky sw tk uz tt bn pa gu or ta te "
    "kn ml as mr sa mn bo cy km lo my gl"
)
"""Primary languages (the low ten bits of an LCID) in the order of their numbers, as ISO 639 has them."""
_FIRST: Final = 0x0400
_REGIONS: Final = (
    *("ar-SA", "cs-CZ", "da-DK", "el-GR", "en-US", "et-EE", "he-IL", "hi-IN", "ja-JP", "ko-KR", "nb-NO", "sl-SI"),
    *("sv-SE", "uk-UA", "vi-VN", "zh-TW"),
)
"""The first of a language's regions where it is not called as the language."""


def read_languages(system: SystemHive) -> Fact[Languages]:
    """Return the languages; `interface` has the installed one too."""
    try:
        language, interface = system.control(_LANGUAGE), system.control(_INTERFACE)
        old = system.control(_OLD_INTERFACE)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    installed = system.text(language, "InstallLanguage")
    if not installed.is_known:
        return Fact(unread=installed.unread, detail=installed.detail, evidence=installed.evidence)
    evidence: tuple[Evidence, ...] = installed.evidence
    tag = _tag(installed.value) if isinstance(installed.value, str) else None
    try:
        found = list(_interface(system, interface, old))
    except ImageError as error:
        return unread_because(error, system.at(interface))
    evidence = (*evidence, *(system.at(path) for path, _ in found))
    names = tuple(dict.fromkeys(name for name in (tag, *(name for _, name in found)) if name))
    return known(Languages(installed=tag, interface=names), *evidence)


def _interface(system: SystemHive, interface: str, old: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the tag of each language of the user interface."""
    key = system.key(interface)
    for count, below in enumerate(key.subkeys() if key is not None else ()):
        if count >= _MAX:
            raise CorruptStructure(f"more than {_MAX} languages", where=system.path)
        yield f"{interface}\\{below.name}", shown(below.name)
    key = system.key(old) if key is None else None
    for count, value in enumerate(key.values() if key is not None else ()):
        if count >= _MAX:
            raise CorruptStructure(f"more than {_MAX} languages", where=system.path)
        if value.name:
            yield old, _tag(value.name)


def _tag(number: str) -> str:
    """Return the tag of an LCID in hexadecimal, as `0409`; `lcid-0123` for one that is not known here."""
    try:
        lcid = int(number, 16) if len(number) <= 8 else -1
    except ValueError:
        lcid = -1
    names = _LANGUAGES.split()
    language = names[lcid & _PRIMARY] if 0 < lcid & _PRIMARY < len(names) and lcid > 0 else None
    if language is not None and lcid & ~_PRIMARY == _FIRST and lcid not in _TAGS:
        return next((tag for tag in _REGIONS if tag.startswith(f"{language}-")), f"{language}-{language.upper()}")
    return _TAGS.get(lcid) or (f"{language}-{lcid:04x}" if language else f"lcid-{shown(number)}")
