"""Whether and how the machine boots: boot disk, firmware, loader, the system that is started."""

from imgscan.model.rule import Rule
from imgscan.rules.boot import (
    boot_disk_converted_to_mbr,
    boot_disk_not_mbr,
    boot_disk_too_large,
    dual_boot,
    dynamic_boot_disk,
    efi_boot_unsupported,
    efi_partition_present,
    generation_2_on_vhd,
    gpt_boot_on_32_bit_windows,
    no_bootable_partition,
    paravirtual_only_kernel,
    root_not_on_boot_disk,
    several_grub_configurations,
    unresolvable_default_kernel,
    unresolvable_root_device,
    unsupported_bootloader,
)

RULES: tuple[Rule, ...] = (
    no_bootable_partition.RULE,
    boot_disk_too_large.RULE,
    efi_boot_unsupported.RULE,
    efi_partition_present.RULE,
    boot_disk_not_mbr.RULE,
    boot_disk_converted_to_mbr.RULE,
    generation_2_on_vhd.RULE,
    gpt_boot_on_32_bit_windows.RULE,
    unsupported_bootloader.RULE,
    root_not_on_boot_disk.RULE,
    dynamic_boot_disk.RULE,
    dual_boot.RULE,
    several_grub_configurations.RULE,
    unresolvable_default_kernel.RULE,
    unresolvable_root_device.RULE,
    paravirtual_only_kernel.RULE,
)
