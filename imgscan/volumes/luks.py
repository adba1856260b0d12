"""What is known of a LUKS volume without its key: cipher, key slots, how their keys are derived, what unlocks them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import UnsupportedFormat
from imgscan.layouts import luks

_SHOWN: Final = 64
"""Key slots and tokens that are shown (LUKS2 has at most 32 of each)."""


class _Clevis(msgspec.Struct):
    pin: str = ""
    sss: msgspec.Raw = msgspec.Raw(b"null")


class _Protected(msgspec.Struct):
    clevis: _Clevis = msgspec.field(default_factory=_Clevis)


class _Jwe(msgspec.Struct):
    protected: str = ""


def describe(device: BlockDevice) -> dict[str, str]:
    """Return what the header says, for the report.

    :raises ImageError: it cannot be read
    """
    version = luks.version_of(device)
    if version == 1:
        return _describe_1(luks.read_luks1(device))
    if version == 2:
        return _describe_2(luks.read_luks2(device))
    raise UnsupportedFormat(f"LUKS version {version} is not known", where=device.name, offset=6)


def _describe_1(header: luks.Luks1) -> dict[str, str]:
    return {
        "luks_version": "1",
        "cipher": header.cipher,
        "key_bits": str(8 * header.key_bytes),
        "key_slots": _numbers(header.slots),
        "key_derivation": f"pbkdf2 ({header.hash})" if header.slots else "",
        "data_offset": str(header.payload_offset),
    }


def _describe_2(headers: tuple[luks.Luks2, ...]) -> dict[str, str]:
    header = headers[0]
    metadata = header.metadata
    slots = dict(sorted(metadata.keyslots.items(), key=lambda pair: _order(pair[0])))
    keys = {number: slot for number, slot in slots.items() if slot.type != "reencrypt"}
    segments = [segment for segment in metadata.segments.values() if "backup" not in " ".join(segment.flags)]
    crypt = [segment for segment in segments if segment.type == "crypt"]
    tokens = sorted(metadata.tokens.items(), key=lambda pair: _order(pair[0]))[:_SHOWN]
    damaged = [each.which for each in headers if not each.is_checksum_good]
    missing = [] if len(headers) == 2 else ["secondary" if header.which == "primary" else "primary"]
    return {
        "luks_version": "2",
        "cipher": _unique(segment.encryption for segment in crypt),
        "key_bits": _unique(str(8 * slot.key_size) for slot in keys.values()),
        "key_slots": ", ".join(list(keys)[:_SHOWN]) or "none",
        "key_derivation": _unique(_derivation(slot.kdf) for slot in keys.values()),
        "tokens": ", ".join(_token(token) for _, token in tokens),
        "sector_size": _unique(str(segment.sector_size) for segment in crypt if segment.sector_size),
        "integrity": "yes" if any(segment.integrity for segment in crypt) else "",
        "data_offset": _unique(segment.offset for segment in segments[:1]),
        "subsystem": header.subsystem,
        "requirements": ", ".join(metadata.config.requirements.get("mandatory", [])[:_SHOWN]),
        "state": "reencrypting" if any(slot.type == "reencrypt" for slot in slots.values()) else "",
        "damaged_headers": ", ".join([*damaged, *(f"{which} (missing)" for which in missing)]),
    }


def _derivation(kdf: luks.Kdf) -> str:
    return f"{kdf.type} ({kdf.hash})" if kdf.type == "pbkdf2" and kdf.hash else kdf.type


def _token(token: luks.Token) -> str:
    """Return a token's type, with what is behind Clevis, and the key slots that it unlocks."""
    name = token.type
    if name == "clevis":
        name = f"clevis {_pin(token.jwe)}".strip()
    elif name == "systemd-tpm2":
        name += _pcrs(token.pcrs)
    slots = ", ".join(token.keyslots[:_SHOWN])
    return f"{name} (key slot{'s' if len(token.keyslots) > 1 else ''} {slots})" if slots else name


def _pin(raw: msgspec.Raw) -> str:
    """Return the pin (`tpm2`, `tang`, `sss`) that the protected header of a JWE (RFC 7516) names; empty when none."""
    try:
        encoded = msgspec.json.decode(raw, type=_Jwe).protected
        decoded = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return msgspec.json.decode(decoded, type=_Protected).clevis.pin
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        return ""


def _pcrs(raw: msgspec.Raw) -> str:
    """Return the registers of the TPM that a token is bound to."""
    try:
        registers = msgspec.json.decode(raw, type=list[int] | None) or []
    except (msgspec.DecodeError, RecursionError):
        registers = []
    return f" PCR {'+'.join(map(str, registers[:24]))}" if registers else ""


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isascii() and number.isdigit() and len(number) < 10 else (1 << 31, number)


def _unique(values: Iterable[str]) -> str:
    return ", ".join(list(dict.fromkeys(value for value in values if value))[:_SHOWN])


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"
