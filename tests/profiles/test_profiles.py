from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from imgscan import profiles
from imgscan.errors import ProfileError
from imgscan.rules import RULES

HEAD = 'name = "mine"\ntitle = "Mine"\nversion = "1"\n'
REQUIREMENT = '[use.requirement]\ntext = "t"\nsource = "s"\n'
PLAIN = f'[[use]]\nrule = "dual-boot"\nseverity = "blocker"\n{REQUIREMENT}'
BOOTED = '[[use]]\nrule = "unsupported-root-filesystem"\nseverity = "blocker"\n'


@pytest.mark.parametrize("name", profiles.NAMES)
def test_what_comes_with_imgscan_loads(name: str) -> None:
    profile = profiles.load(name)
    path = Path(profiles.__file__).with_name(f"{name}.toml")
    assert profile.name == name
    assert profile.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert all((profile.title, profile.version, profile.date, profile.uses))


def test_every_profile_file_is_listed() -> None:
    assert sorted(path.stem for path in Path(profiles.__file__).parent.glob("*.toml")) == sorted(profiles.NAMES)


def test_aws_sms_asks_every_rule_of_the_page() -> None:
    assert {use.rule.name for use in profiles.load("aws-sms").uses} == {rule.name for rule in RULES}


def test_aws_sms_has_the_figures_of_the_page() -> None:
    uses = {(use.rule.name, use.family): use for use in profiles.load("aws-sms").uses}
    assert uses["boot-disk-too-large", None].params.max_bytes == 2 * 1024**4
    assert uses["unsupported-image-format", None].params.formats == ("vmdk", "vhd", "vhdx")
    root = uses["unsupported-root-filesystem", "linux"].params.filesystems
    assert set(root) == {"ext2", "ext3", "ext4", "btrfs", "jfs", "xfs"}
    assert uses["unsupported-bootloader", "linux"].params.loaders == ("grub-legacy", "grub2")


def test_aws_sms_has_the_windows_lines_of_the_page() -> None:
    """No rule asks for them yet; what a line may say is fixed all the same."""
    content = tomllib.loads(Path(profiles.__file__).with_name("aws-sms.toml").read_text())
    lines = content["systems"]["windows"]
    assert [line["id"].removeprefix("windows-") for line in lines] == [
        *("server-2003", "server-2003-r2", "server-2008", "server-2008-r2", "server-2012", "server-2012-r2"),
        *("server-2016", "server-1709", "server-1803", "server-2019", "7", "8", "8.1", "10"),
    ]
    both = {line["id"] for line in lines if line["bits"] == [32, 64]}
    assert both == {f"windows-{name}" for name in ("server-2003", "server-2003-r2", "server-2008", "7", "8")}
    assert [line["languages"] for line in lines if line["kind"] == "client"] == [["US English"]] * 4
    optional = {"service_pack_min", "languages", "excluded_installations"}
    assert all(
        {"id", "kind", "editions", "bits"} <= set(line) <= {"id", "kind", "editions", "bits"} | optional
        for line in lines
    )


LISTED = (
    '[[use]]\nrule = "unsupported-operating-system"\nseverity = "blocker"\nfor = "linux"\nlist = "linux"\n'
    + REQUIREMENT
)
LINE = (
    '[[systems.linux]]\nid = "debian"\nname = "Debian"\nbits = [64]\n'
    'releases = ["9", { from = "10.0", to = "10.13" }]\n'
)


def test_a_use_has_the_list_that_it_names() -> None:
    (use,) = profiles.parse((HEAD + LISTED + LINE).encode(), "mine.toml").uses
    (line,) = use.params.systems
    assert str(line) == "Debian 9, 10.0 to 10.13"


def test_a_profile_of_ones_own_loads_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + PLAIN + BOOTED + 'for = "linux"\nparams = { filesystems = ["xfs"] }\n' + REQUIREMENT)
    profile = profiles.load(path)
    assert [(use.rule.name, use.family) for use in profile.uses] == [
        ("dual-boot", None),
        ("unsupported-root-filesystem", "linux"),
    ]
    assert profile.uses[1].params.filesystems == ("xfs",)
    assert profiles.load(str(path)) == profile


def test_a_rule_may_be_used_several_times() -> None:
    text = HEAD + PLAIN + PLAIN.replace("blocker", "advice")
    assert [use.severity for use in profiles.parse(text.encode(), "mine.toml").uses] == ["blocker", "advice"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "mine.toml: not valid TOML: "),
        ("\xff", "mine.toml: not valid TOML: "),
        (PLAIN, "mine.toml: Object missing required field `name`"),
        (HEAD, "mine.toml: Object missing required field `use`"),
        (HEAD + "use = []", "mine.toml: use: a profile uses at least one rule"),
        (HEAD + 'colour = "red"\n' + PLAIN, "mine.toml: Object contains unknown field `colour`"),
        (HEAD + PLAIN.replace("dual-boot", "dual-boat"), "mine.toml: use 1 (dual-boat): rule: there is no rule"),
        (
            HEAD + PLAIN.replace("blocker", "fatal"),
            "mine.toml: use 1 (dual-boot): severity: Invalid enum value 'fatal'",
        ),
        (HEAD + PLAIN + PLAIN.replace("severity", "weight"), "mine.toml: use 2 (dual-boot): Object"),
        (HEAD + PLAIN.replace('"s"', '" "'), "mine.toml: use 1 (dual-boot): requirement.source: is empty"),
        (HEAD + PLAIN.replace('source = "s"', ""), "mine.toml: use 1 (dual-boot): requirement: Object missing"),
        (HEAD + PLAIN.replace('source = "s"', 'page = "s"'), "mine.toml: use 1 (dual-boot): requirement: Object"),
        (
            HEAD + '[[use]]\nseverity = "blocker"\n' + REQUIREMENT,
            "mine.toml: use 1: Object missing required field `rule`",
        ),
        (
            HEAD + PLAIN.replace("[use.req", 'for = "linux"\n[use.req'),
            "mine.toml: use 1 (dual-boot): for: dual-boot is",
        ),
        (
            HEAD + BOOTED + 'for = "beos"\n' + REQUIREMENT,
            "mine.toml: use 1 (unsupported-root-filesystem): for: Invalid",
        ),
        (HEAD + BOOTED + REQUIREMENT, "mine.toml: use 1 (unsupported-root-filesystem): params: Object missing"),
        (
            HEAD + BOOTED + "params = { filesystems = [1] }\n" + REQUIREMENT,
            "mine.toml: use 1 (unsupported-root-filesystem): params: filesystems[0]: Expected `str`, got `int`",
        ),
        (
            HEAD + PLAIN.replace("[use.req", "params = { depth = 1 }\n[use.req"),
            "mine.toml: use 1 (dual-boot): params: Object contains unknown field `depth`",
        ),
        (
            HEAD + LISTED,
            "mine.toml: use 1 (unsupported-operating-system): list: there is no [[systems.linux]] in the profile",
        ),
        (
            HEAD + LISTED + LINE.replace('"9"', '"nine"'),
            "mine.toml: use 1 (unsupported-operating-system): params: systems[0].releases[0]: Expected",
        ),
        (
            HEAD + LISTED + LINE.replace("name", "title"),
            "mine.toml: use 1 (unsupported-operating-system): params: systems[0]: Object",
        ),
        (
            HEAD + PLAIN.replace("[use.req", 'list = "linux"\n[use.req') + LINE,
            "mine.toml: use 1 (dual-boot): params: Object contains unknown field `systems`",
        ),
        (HEAD + "use = [1]", "mine.toml: use[0]: Expected `object`, got `int`"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ProfileError) as raised:
        profiles.parse(text.encode("latin-1"), "mine.toml")
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(ProfileError, match="there is no profile 'azure'; there are aws-sms"):
        profiles.load("azure")
    with pytest.raises(ProfileError, match=r"no/such\.toml: cannot be read: No such file or directory"):
        profiles.load("no/such.toml")


def test_a_name_chooses_no_file_outside_the_folder() -> None:
    with pytest.raises(ProfileError):
        profiles.load("../profiles/aws-sms")


def test_a_file_that_is_too_large_is_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * (profiles.PROFILE_BYTES + 1))
    with pytest.raises(ProfileError, match="larger than"):
        profiles.load(path)
    path.write_bytes(b"x = " + b"[" * 100_000)
    with pytest.raises(ProfileError):
        profiles.load(path)
