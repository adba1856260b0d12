"""mdadm.conf gives arrays their device names."""

from __future__ import annotations

from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.mdadm_conf import array_devices, parse_arrays
from imgscan.model.fact import known
from imgscan.model.volume import Volume

CONF = """
# mdadm.conf
DEVICE partitions
HOMEHOST <system>
ARRAY /dev/md/0  metadata=1.2 UUID=86b4ab6f:9a2f0d9f:1f8a7dd8:2f8a7a11 name=debian:0
array /dev/md1 level=raid1 num-devices=2
   UUID=00112233:44556677:8899aabb:ccddeeff
ARRAY root name=debian:root
ARRAY /dev/md7 super-minor=7
ARRAY <ignore> UUID=99999999:44556677:8899aabb:ccddeeff
ARRAY UUID=99999999:44556677:8899aabb:ccddeeee
MAILADDR root
"""


def array(name: str, **metadata: str) -> Volume:
    return Volume(name=name, kind="raid-array", on=(), size=1, content=None, signature=known(None), metadata=metadata)


def test_lines_are_parsed() -> None:
    lines = parse_arrays(CONF)
    assert [line.device for line in lines] == ["/dev/md/0", "/dev/md1", "/dev/md/root", "/dev/md7", ""]
    assert lines[1].uuid == "00112233:44556677:8899aabb:ccddeeff"
    assert lines[3].minor == "7"


def test_arrays_are_found_by_all_that_is_said() -> None:
    volumes = [
        array("md/86b4ab6f", array_uuid="86b4ab6f:9a2f0d9f:1f8a7dd8:2f8a7a11", array_name="debian:0"),
        array("md/00112233", array_uuid="00112233:44556677:8899aabb:ccddeeff"),
        array("md/aaaaaaaa", array_uuid="aaaaaaaa:0:0:0", array_name="debian:root"),
        array("md/bbbbbbbb", array_uuid="bbbbbbbb:0:0:0", preferred_minor="7"),
    ]
    assert array_devices(CONF, volumes) == {
        "/dev/md/0": "md/86b4ab6f",
        "/dev/md1": "md/00112233",
        "/dev/md/root": "md/aaaaaaaa",
        "/dev/md7": "md/bbbbbbbb",
    }
    other = array("md/86b4ab6f", array_uuid="86b4ab6f:9a2f0d9f:1f8a7dd8:2f8a7a11", array_name="other:0")
    assert array_devices(CONF, [other]) == {}
    assert array_devices("", volumes) == {}


def test_the_names_resolve_and_come_before_the_arrays_own() -> None:
    volumes = [
        array("md/00112233", array_uuid="00112233:0:0:0", array_name="debian:0"),
        array("md/44556677", array_uuid="44556677:0:0:0", array_name="debian:1"),
    ]
    devices = Devices(volumes, ())
    assert devices.resolve("/dev/md0").volume == "md/00112233"
    conf = "ARRAY /dev/md0 UUID=44556677:0:0:0\nARRAY /dev/md/data UUID=00112233:0:0:0\n"
    for source, volume in array_devices(conf, volumes).items():
        devices.name_array(source, volume)
    assert devices.resolve("/dev/md0").volume == "md/44556677"
    assert devices.resolve("/dev/md/data").volume == "md/00112233"
    assert not devices.resolve("/dev/md0").is_guess
