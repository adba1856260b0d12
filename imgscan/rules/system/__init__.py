"""Which operating system is installed, and on what."""

from imgscan.model.rule import Rule
from imgscan.rules.system import (
    client_not_us_english,
    custom_kernel,
    dotnet_missing,
    driver_signing_enforced,
    hibernated_system,
    hotfix_missing,
    non_ascii_language_pack,
    non_english_language_pack,
    pagefile_not_fixed,
    rhel5_on_vhdx,
    unsupported_architecture,
    unsupported_kernel,
    unsupported_operating_system,
    updates_pending,
)

RULES: tuple[Rule, ...] = (
    unsupported_operating_system.RULE,
    unsupported_kernel.RULE,
    unsupported_architecture.RULE,
    custom_kernel.RULE,
    rhel5_on_vhdx.RULE,
    client_not_us_english.RULE,
    non_ascii_language_pack.RULE,
    non_english_language_pack.RULE,
    pagefile_not_fixed.RULE,
    dotnet_missing.RULE,
    hotfix_missing.RULE,
    updates_pending.RULE,
    hibernated_system.RULE,
    driver_signing_enforced.RULE,
)
