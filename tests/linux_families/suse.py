"""SUSE Linux Enterprise Server 11 SP3 and 12 SP2: names after the hardware, SuSEfirewall2, ifcfg files of its own form.

Sources: the Deployment and Administration Guides of both; the comments of /etc/sysconfig/SuSEfirewall2; perl-Bootloader's
menu.lst; ifcfg(5) of sysconfig and wicked.
"""

from __future__ import annotations

from typing import Any

from disk_builder import GRUB_PC, UUIDS
from tools import require_file

from linux_families.family import Family, Files, boot_files, links, programs, rpm_berkeley, runlevel, texts

SLES11, SLES12 = "3.0.76-0.11-default", "4.4.21-69-default"
VENDOR = "SUSE LINUX Products GmbH, Nuernberg, Germany"
DISK = "/dev/disk/by-id/scsi-36000c29a1b2c3d4e5f60718293a4b5c6-part"
FIREWALL = """\
## Path:        Network/Firewall/SuSEfirewall2
## Description: SuSEfirewall2 configuration
## Type:        string
## Default:     any
FW_DEV_EXT="eth0"
FW_DEV_INT=""
FW_DEV_DMZ=""
FW_ROUTE="no"
FW_MASQUERADE="no"
FW_SERVICES_EXT_TCP=""
FW_SERVICES_EXT_UDP=""
FW_SERVICES_EXT_IP=""
FW_SERVICES_EXT_RPC=""
FW_CONFIGURATIONS_EXT="sshd"
FW_SERVICES_DROP_EXT=""
FW_SERVICES_REJECT_EXT=""
FW_SERVICES_ACCEPT_EXT=""
FW_TRUSTED_NETS=""
FW_CUSTOMRULES=""
FW_ZONES=""
"""
SSHD_SERVICE = '## Name: Secure Shell Server\n## Description: Open ports for the Secure Shell Server.\n\nTCP="ssh"\nUDP=""\nRPC=""\n'
INITTAB = (
    "id:5:initdefault:\n\nsi::bootwait:/etc/init.d/boot\n\nl3:3:wait:/etc/init.d/rc 3\nl5:5:wait:/etc/init.d/rc 5\n"
)
MENU_11 = """\
# Modified by YaST2. Last modification on Mon Jul  1 10:00:00 CEST 2013
default 0
timeout 8
##YaST - generic_mbr
gfxmenu (hd0,0)/boot/message
##YaST - activate

###Don't change this comment - YaST2 identifier: Original name: linux###
title SUSE Linux Enterprise Server 11 SP3 - {version}
    root (hd0,0)
    kernel /boot/vmlinuz-{version} root={disk}1 resume={disk}2 splash=silent crashkernel= showopts vga=0x332
    initrd /boot/initrd-{version}

###Don't change this comment - YaST2 identifier: Original name: failsafe###
title Failsafe -- SUSE Linux Enterprise Server 11 SP3 - {version}
    root (hd0,0)
    kernel /boot/vmlinuz-{version} root={disk}1 showopts ide=nodma apm=off noresume edd=off powersaved=off nohz=off highres=off processor.max_cstate=1 nomodeset x11failsafe vga=0x332
    initrd /boot/initrd-{version}

###Don't change this comment - YaST2 identifier: Original name: floppy###
title Floppy
    rootnoverify (fd0)
    chainloader +1
"""
IFCFG_11 = """\
BOOTPROTO='dhcp4'
BROADCAST=''
ETHTOOL_OPTIONS=''
IPADDR=''
MTU=''
NAME='VMXNET3 Ethernet Controller'
NETMASK=''
NETWORK=''
REMOTE_IPADDR=''
STARTMODE='auto'
USERCONTROL='no'
"""
SSHD_UNIT = """\
[Unit]
Description=OpenSSH Daemon
After=network.target

[Service]
EnvironmentFile=-/etc/sysconfig/ssh
ExecStartPre=/usr/sbin/sshd-gen-keys-start
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
Restart=always

[Install]
WantedBy=multi-user.target
"""
FIREWALL_UNIT = """\
[Unit]
Description=SuSEfirewall2 phase 2
After=network.target ypbind.service nfs.service nfsserver.service rpcbind.service SuSEfirewall2_init.service
Wants=SuSEfirewall2_init.service

[Service]
ExecStart=/usr/sbin/SuSEfirewall2 boot_setup
RemainAfterExit=true
Type=oneshot

[Install]
WantedBy=multi-user.target
Alias=SuSEfirewall2_setup.service
"""
WICKED_UNIT = """\
[Unit]
Description=wicked managed network interfaces
Wants=wickedd-nanny.service
Before=network-online.target network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/wicked --systemd ifup all

[Install]
WantedBy=multi-user.target network-online.target
Alias=network.service
Also=wickedd.service
"""
MENU_12 = """\
### BEGIN /etc/grub.d/00_header ###
set btrfs_relative_path="yes"
export btrfs_relative_path
if [ -f ${{config_directory}}/grubenv ]; then
  load_env -f ${{config_directory}}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${{saved_entry}}"
fi
set timeout=8
### END /etc/grub.d/00_header ###

### BEGIN /etc/grub.d/10_linux ###
menuentry 'SLES 12-SP2'  --class 'sles' --class gnu-linux --class gnu --class os $menuentry_id_option 'gnulinux-simple-{root}' {{
\tload_video
\tset gfxpayload=keep
\tinsmod gzio
\tinsmod part_msdos
\tinsmod ext2
\tset root='hd0,msdos1'
\tsearch --no-floppy --fs-uuid --set=root {root}
\techo\t'Loading Linux {version} ...'
\tlinux\t/boot/vmlinuz-{version} root=UUID={root}  resume=/dev/disk/by-uuid/{swap} splash=silent quiet showopts
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/initrd-{version}
}}
submenu 'Advanced options for SLES 12-SP2' --hotkey=1 $menuentry_id_option 'gnulinux-advanced-{root}' {{
\tmenuentry 'SLES 12-SP2, with Linux {version}' --hotkey=2 --class 'sles' --class gnu-linux $menuentry_id_option 'gnulinux-{version}-advanced-{root}' {{
\t\tsearch --no-floppy --fs-uuid --set=root {root}
\t\tlinux\t/boot/vmlinuz-{version} root=UUID={root}  resume=/dev/disk/by-uuid/{swap} splash=silent quiet showopts
\t\tinitrd\t/boot/initrd-{version}
\t}}
\tmenuentry 'SLES 12-SP2, with Linux {version} (recovery mode)' --hotkey=3 --class 'sles' --class gnu-linux $menuentry_id_option 'gnulinux-{version}-recovery-{root}' {{
\t\tsearch --no-floppy --fs-uuid --set=root {root}
\t\tlinux\t/boot/vmlinuz-{version} root=UUID={root} showopts apm=off noresume edd=off powersaved=off nohz=off highres=off processor.max_cstate=1 nomodeset x11failsafe
\t\tinitrd\t/boot/initrd-{version}
\t}}
}}
### END /etc/grub.d/10_linux ###
"""
USUAL: Files = {
    **programs("bin/sh", "usr/sbin/sshd"),
    **texts(
        {
            "etc/HOSTNAME": "sles.example.com\n",
            "etc/ssh/sshd_config": "Protocol 2\nPasswordAuthentication no\nUsePAM yes\nX11Forwarding yes\n",
            "etc/sysconfig/ssh": '## Path: Network/Remote access/SSH\nSSHD_OPTS=""\n',
            "etc/sysconfig/SuSEfirewall2": FIREWALL,
            "etc/sysconfig/SuSEfirewall2.d/services/sshd": SSHD_SERVICE,
            "etc/sysconfig/network/ifcfg-lo": "IPADDR=127.0.0.1/8\nSTARTMODE=nfsroot\nFIREWALL=no\n",
        }
    ),
}
ROOT, SWAP = "disk0/p1", "disk0/p2"


def sles11() -> Family:
    title = f"SUSE Linux Enterprise Server 11 SP3 - {SLES11}"
    inside = (f"lib/modules/{SLES11}/kernel/fs/ext3/ext3.ko", f"lib/modules/{SLES11}/kernel/drivers/scsi/vmw_pvscsi.ko")
    modules = ("drivers/net/ixgbevf/ixgbevf.ko", "drivers/xen/blkfront/xenblk.ko", "fs/ext3/ext3.ko")
    fstab = (
        f"{DISK}2 swap                 swap       defaults              0 0\n"
        f"{DISK}1 /                    ext3       acl,user_xattr        1 1\n"
        "proc                 /proc                proc       defaults              0 0\n"
        "sysfs                /sys                 sysfs      noauto                0 0\n"
        "debugfs              /sys/kernel/debug    debugfs    noauto                0 0\n"
        "devpts               /dev/pts             devpts     mode=0620,gid=5       0 0\n"
    )
    files = {
        **USUAL,
        **programs("sbin/init", "sbin/dhcpcd"),
        **boot_files(SLES11, f"initrd-{SLES11}", modules, inside=inside, protocol=0x20A),
        **rpm_berkeley(
            VENDOR,
            ("kernel-default-base", "3.0.76", "0.11.1", f"/boot/vmlinuz-{SLES11}"),
            ("openssh", "6.2p2", "0.9.1", "/usr/sbin/sshd"),
            ("SuSEfirewall2", "3.6_SVNr208", "2.16.1", "/sbin/SuSEfirewall2"),
        ),
        **runlevel(
            "etc/init.d/rc5.d",
            "..",
            "S01dbus",
            "S05network",
            "S06syslog",
            "S10sshd",
            "S12cron",
            "S12SuSEfirewall2_setup",
        ),
        **runlevel("etc/init.d/boot.d", "..", "S01boot.udev", "S12SuSEfirewall2_init"),
        **texts(
            {
                "etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n",
                "etc/inittab": INITTAB,
                "etc/fstab": fstab,
                "boot/grub/menu.lst": MENU_11.format(version=SLES11, disk=DISK),
                "boot/grub/stage2": "",
                "etc/sysconfig/network/ifcfg-eth0": IFCFG_11,
                "etc/udev/rules.d/70-persistent-net.rules": (
                    'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:0c:29:11:22:33", '
                    'ATTR{dev_id}=="0x0", ATTR{type}=="1", KERNEL=="eth*", NAME="eth0"\n'
                ),
            }
        ),
        **links({"boot/vmlinuz": f"vmlinuz-{SLES11}", "boot/initrd": f"initrd-{SLES11}", "boot/boot": "."}),
    }
    virtual = [(point, None, "virtual") for point in ("/proc", "/sys", "/sys/kernel/debug", "/dev/pts")]
    facts: dict[str, Any] = {
        "system": ("sles", "11.3", "SP3", None),
        "hostname": "sles.example.com",
        "loader": "grub-legacy",
        "kernel": SLES11,
        "menu": [(title, "own", True), (f"Failsafe -- {title}", "recovery", False), ("Floppy", "tool", False)],
        "package": ("kernel-default-base", "3.0.76", "0.11.1", VENDOR),
        "initramfs": ["ext3", "vmw_pvscsi"],
        # the disk's serial number is not in an image; the root is where the table lies
        "mounts": [("none", None, "hardware-name"), ("/", ROOT, "hardware-name"), *virtual],
        "network": [("ifcfg-eth0", "eth0", "4", [])],
        "dhcp": "/sbin/dhcpcd",
        "ssh": ("sysvinit", "S10sshd"),
        "firewalls": [("SuSEfirewall2", "allow")],
        "packages": ["SuSEfirewall2", "kernel-default-base", "openssh"],
    }
    outcomes = {
        "unsupported_kernel": "pass",
        "fstab_device_names": "fail",
        "fstab_unresolvable": "unknown",  # swap; the root is what this table itself calls so, in the boot menu too
        "file_changed_on_import": "fail",
        "initramfs_rebuilt_on_import": "fail",  # SUSE's driver was xenblk, and is not inside
        "enhanced_networking_driver_missing": "fail",  # no ena
    }
    return Family("sles11", files, facts, outcomes, "ext3", None, "grub-legacy")


def sles12() -> Family:
    name = "SUSE Linux Enterprise Server"
    release = (
        f'NAME="SLES"\nVERSION="12-SP2"\nVERSION_ID="12.2"\nPRETTY_NAME="{name} 12 SP2"\n'
        'ID="sles"\nANSI_COLOR="0;32"\nCPE_NAME="cpe:/o:suse:sles:12:sp2"\n'
    )
    inside = (f"lib/modules/{SLES12}/kernel/drivers/block/xen-blkfront.ko",)
    modules = ("drivers/block/xen-blkfront.ko", "drivers/net/ethernet/intel/ixgbevf/ixgbevf.ko",
               "drivers/net/ethernet/amazon/ena/ena.ko")  # fmt: skip
    fstab = f"UUID={UUIDS['swap']} swap swap defaults 0 0\nUUID={UUIDS['root']} / ext4 acl,user_xattr 1 1\n"
    units = "usr/lib/systemd/system"
    files = {
        **USUAL,
        **programs("usr/lib/systemd/systemd", "usr/sbin/wicked", "usr/sbin/wickedd"),
        **boot_files(SLES12, f"initrd-{SLES12}", modules, inside=inside, compress="xz -0"),
        **rpm_berkeley(
            "SUSE LLC <https://www.suse.com/>",
            ("kernel-default", "4.4.21", "69.1", f"/boot/vmlinuz-{SLES12}"),
            ("openssh", "7.2p2", "55.1", "/usr/sbin/sshd"),
            ("wicked", "0.6.39", "28.2", "/usr/sbin/wicked"),
        ),
        **texts(
            {
                "etc/os-release": release,
                "etc/SuSE-release": f"{name} 12 (x86_64)\nVERSION = 12\nPATCHLEVEL = 2\n# This file is deprecated\n",
                "etc/fstab": fstab,
                "boot/grub2/grub.cfg": MENU_12.format(version=SLES12, root=UUIDS["root"], swap=UUIDS["swap"]),
                "boot/grub2/grubenv": "# GRUB Environment Block\nsaved_entry=SLES 12-SP2\n".ljust(1024, "#"),
                f"{units}/sshd.service": SSHD_UNIT,
                f"{units}/SuSEfirewall2.service": FIREWALL_UNIT,
                f"{units}/wicked.service": WICKED_UNIT,
                f"{units}/multi-user.target": "[Unit]\nDescription=Multi-User System\nRequires=basic.target\n",
                "etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nDHCLIENT_SET_DEFAULT_ROUTE='yes'\n",
            }
        ),
        **links(
            {
                "sbin/init": "../usr/lib/systemd/systemd",
                "etc/hostname": "HOSTNAME",
                "etc/systemd/system/default.target": f"/{units}/multi-user.target",
                "etc/systemd/system/multi-user.target.wants/sshd.service": f"/{units}/sshd.service",
                "etc/systemd/system/multi-user.target.wants/SuSEfirewall2.service": f"/{units}/SuSEfirewall2.service",
                "etc/systemd/system/SuSEfirewall2_setup.service": f"/{units}/SuSEfirewall2.service",
                "etc/systemd/system/multi-user.target.wants/wicked.service": f"/{units}/wicked.service",
                "etc/systemd/system/network.service": f"/{units}/wicked.service",
                "boot/vmlinuz": f"vmlinuz-{SLES12}", "boot/initrd": f"initrd-{SLES12}",
            }
        ),
        "boot/grub2/i386-pc/normal.mod": require_file(GRUB_PC / "normal.mod"),
    }  # fmt: skip
    title = "SLES 12-SP2"
    facts: dict[str, Any] = {
        "system": ("sles", "12.2", "SP2", None),
        "hostname": "sles.example.com",
        "loader": "grub2",
        "kernel": SLES12,
        "menu": [
            (title, "own", True),
            (f"{title}, with Linux {SLES12}", "own", False),
            (f"{title}, with Linux {SLES12} (recovery mode)", "recovery", False),
        ],
        "package": ("kernel-default", "4.4.21", "69.1", "SUSE LLC <https://www.suse.com/>"),
        "initramfs": ["xen_blkfront"],
        "mounts": [("none", SWAP, "uuid"), ("/", ROOT, "uuid")],
        "network": [("ifcfg-eth0", "eth0", "4", [])],
        "dhcp": "wicked.service",
        "ssh": ("systemd", "sshd.service"),
        "firewalls": [("SuSEfirewall2", "allow")],
        "packages": ["kernel-default", "openssh", "wicked"],
    }
    return Family("sles12", files, facts, {"unsupported_kernel": "pass"}, "ext4", None)
