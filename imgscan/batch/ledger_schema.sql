-- The ledger of `imgscan batch`: what is on the share, what was done about it, and what came out.
-- Sizes are in bytes; times are UTC, ISO 8601. Text from the share or a guest is made printable: control,
-- bidirectional and undecodable characters are escapes (`\x1b`, `\u202e`), and a backslash in a file's or machine's
-- name is `\x5c`, so that each name is written in one way only. JSON columns hold the shapes that
-- `imgscan schema report` publishes.

-- These comments are the documentation; docs/ledger.md is made of them.

-- One row: what this database is about.
CREATE TABLE ledger (
    root TEXT NOT NULL, -- the folder that is scanned
    created TEXT NOT NULL -- when this database was made
);

-- One call of `imgscan batch`.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, -- counts from 1
    started TEXT NOT NULL, -- when
    ended TEXT, -- when; empty while it runs
    ending TEXT, -- `finished`, `interrupted` (by the user), `failed` (by an error), `died` (killed; found out by the next run)
    tool TEXT NOT NULL, -- name, version and libraries, as JSON
    options TEXT NOT NULL, -- the options that were given, as JSON
    host TEXT NOT NULL, -- where it ran
    pid INTEGER NOT NULL -- its process id there
);

-- The profiles that a run judged.
CREATE TABLE run_profiles (
    run INTEGER NOT NULL REFERENCES runs (id), -- `runs.id`
    position INTEGER NOT NULL, -- in the order given, from 0
    profile INTEGER NOT NULL REFERENCES profiles (id), -- `profiles.id`
    PRIMARY KEY (run, position)
) WITHOUT ROWID;

-- A regular file that was found below the root.
CREATE TABLE files (
    id INTEGER PRIMARY KEY, -- `machine_files.file`
    path TEXT NOT NULL UNIQUE, -- relative to the root, with `/`
    size INTEGER NOT NULL, -- its size
    mtime_ns INTEGER NOT NULL, -- when its content changed last, in nanoseconds since 1970
    inode INTEGER NOT NULL, -- its number in its filesystem
    device INTEGER NOT NULL, -- the number of its filesystem, which may be another after each mount
    present INTEGER NOT NULL, -- 1, or 0 when the last run did not find it
    format TEXT, -- the container format, empty when it is no disk image that imgscan reads
    identified TEXT, -- what its content says it is, as JSON; empty when it was not looked at
    identified_by TEXT, -- the version of imgscan that looked
    fingerprint TEXT -- a digest of the structures that were read; equal for copies of one image
);

-- A machine: disks that are scanned together.
CREATE TABLE machines (
    id INTEGER PRIMARY KEY, -- `machine` in the other tables
    name TEXT NOT NULL UNIQUE, -- stable from run to run
    reason TEXT NOT NULL, -- why these files are one machine
    present INTEGER NOT NULL, -- 1, or 0 when the last run did not find it
    state TEXT NOT NULL, -- `pending`, `running`, `done`, or `failed` (it was tried, and not all that was to be read could be)
    inputs TEXT NOT NULL, -- a digest of its files' names and stamps, of imgscan's version and of the options; another one means a new scan
    failure TEXT, -- for `failed`: the class (`crashed`, `timed-out`, `limit`, `killed`, `io-error`, ...)
    detail TEXT -- for `failed`: one sentence
);

-- Which files a machine consists of; a shared parent belongs to several machines.
CREATE TABLE machine_files (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    file INTEGER NOT NULL REFERENCES files (id), -- `files.id`
    role TEXT NOT NULL, -- `disk`, `extent`, `parent`, `sidecar`, or `other`
    position INTEGER, -- for a disk: its number in the machine, from 0
    PRIMARY KEY (machine, file)
) WITHOUT ROWID;
CREATE INDEX machine_files_of_file ON machine_files (file);

-- One try to read a machine.
CREATE TABLE attempts (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    run INTEGER NOT NULL REFERENCES runs (id), -- `runs.id`
    number INTEGER NOT NULL, -- 1 for the first on these inputs; an interrupted one is not counted
    inputs TEXT NOT NULL, -- `machines.inputs` at the time
    started TEXT NOT NULL, -- when
    ended TEXT, -- when; empty while it runs
    outcome TEXT, -- `done`, `interrupted`, or the class of a failure
    part TEXT, -- the part of the machine that failed
    detail TEXT, -- one sentence
    cpu_seconds REAL, -- processor time of the worker
    max_rss INTEGER, -- most memory that the worker had
    reads INTEGER, -- reads of host files
    bytes INTEGER, -- what these reads returned
    sandbox TEXT, -- the level of isolation that was reached
    PRIMARY KEY (machine, run, number)
) WITHOUT ROWID;

-- What was read about a machine. Only machines that are `done` or `failed` have any of this and what follows.
CREATE TABLE facts (
    machine INTEGER PRIMARY KEY REFERENCES machines (id), -- `machines.id`
    json TEXT NOT NULL -- the machine as `imgscan inspect --format json` shows it
);

-- A virtual disk of a machine.
CREATE TABLE disks (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    position INTEGER NOT NULL, -- from 0
    name TEXT NOT NULL, -- `disk0`, ...
    path TEXT NOT NULL, -- of the image, relative to the root
    format TEXT, -- `vmdk`, `vhd`, ...; empty when it was not recognised
    variant TEXT, -- the format's kind: `streamOptimized`, `dynamic`, ...
    virtual_size INTEGER, -- the size that the guest sees
    partition_table TEXT, -- `mbr`, `gpt` or `none`; empty when it could not be read
    problems INTEGER NOT NULL, -- how many problems the image or its partition table has
    PRIMARY KEY (machine, position)
) WITHOUT ROWID;

-- A volume of a machine: whatever can hold a filesystem.
CREATE TABLE volumes (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    position INTEGER NOT NULL, -- from 0
    name TEXT NOT NULL, -- `disk0/p1`, `vg0/root`, ...
    kind TEXT NOT NULL, -- `partition`, `logical-volume`, ...
    content TEXT, -- as libblkid names it: `ext4`, `ntfs`, ...; empty when nothing is there or it was not read
    size INTEGER NOT NULL, -- its size
    free INTEGER, -- free bytes as root sees them, where they were counted
    label TEXT, -- the filesystem's label
    uuid TEXT, -- the filesystem's identifier
    unread TEXT, -- why its content or its files could not be read
    PRIMARY KEY (machine, position)
) WITHOUT ROWID;

-- An installed system. A column is empty when there is no such thing or it could not be read; `facts` tells these apart.
CREATE TABLE systems (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    position INTEGER NOT NULL, -- from 0
    family TEXT NOT NULL, -- `linux`, `windows` or `other`
    root TEXT NOT NULL, -- the volume that holds it
    system_id TEXT, -- `debian`, `rhel`, `windows`, ...
    version TEXT, -- its release: `12`, `10.0.14393`, ...
    product TEXT, -- its full name
    edition TEXT, -- of a Windows
    architecture TEXT, -- `x86_64`, `x86`, ...
    kernel TEXT, -- of a Linux: what its loader starts
    bootloader TEXT, -- what starts it
    hostname TEXT, -- its name
    PRIMARY KEY (machine, position)
) WITHOUT ROWID;

-- A part of a machine that could not be read.
CREATE TABLE unread (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    position INTEGER NOT NULL, -- from 0
    place TEXT NOT NULL, -- the disk, volume or file
    why TEXT NOT NULL, -- `encrypted`, `unsupported`, `corrupt`, ...
    detail TEXT NOT NULL, -- one sentence
    PRIMARY KEY (machine, position)
) WITHOUT ROWID;

-- A target that machines were judged for.
CREATE TABLE profiles (
    id INTEGER PRIMARY KEY, -- `profile` in the other tables
    name TEXT NOT NULL, -- its name
    version TEXT NOT NULL, -- its version
    digest TEXT NOT NULL UNIQUE -- the SHA-256 of its file
);

-- What a profile makes of a machine.
CREATE TABLE verdicts (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    profile INTEGER NOT NULL REFERENCES profiles (id), -- `profiles.id`
    readiness TEXT NOT NULL, -- `ready`, `ready-with-warnings`, `not-ready` or `undecided`
    PRIMARY KEY (machine, profile)
) WITHOUT ROWID;

-- One rule's answer for one machine, or for one of its systems.
CREATE TABLE findings (
    machine INTEGER NOT NULL REFERENCES machines (id), -- `machines.id`
    profile INTEGER NOT NULL REFERENCES profiles (id), -- `profiles.id`
    position INTEGER NOT NULL, -- in the profile's order, from 0
    rule TEXT NOT NULL, -- the rule's name (`imgscan explain RULE`)
    severity TEXT NOT NULL, -- `blocker`, `warning` or `advice`
    system INTEGER, -- `systems.position`; empty when it is about the machine
    outcome TEXT NOT NULL, -- `pass`, `fail`, `unknown`, `not-applicable` or `manual`
    summary TEXT NOT NULL, -- one sentence with the figures that decided
    evidence TEXT NOT NULL, -- where that was read, as a JSON array
    requirement INTEGER NOT NULL REFERENCES requirements (id), -- `requirements.id`
    PRIMARY KEY (machine, profile, position)
) WITHOUT ROWID;

-- What findings rest on; the same text stands here once.
CREATE TABLE requirements (
    id INTEGER PRIMARY KEY, -- `findings.requirement`
    text TEXT NOT NULL, -- what the target asks, in our own words
    source TEXT NOT NULL, -- page and section
    date TEXT NOT NULL, -- of the page, or of the day it was read
    remedy TEXT NOT NULL, -- how to fix it
    predicts TEXT -- the error that the importer is documented to give
);

-- A path that could not be looked at when a run last came by it.
CREATE TABLE path_problems (
    path TEXT NOT NULL, -- relative to the root
    why TEXT NOT NULL, -- `denied`, `io-error`, `changed`, ...
    detail TEXT NOT NULL, -- one sentence
    PRIMARY KEY (path, why, detail)
) WITHOUT ROWID;

-- A file that belongs to no machine, and any other path that was left out, as a run last found it.
CREATE TABLE other_files (
    path TEXT NOT NULL, -- relative to the root
    why TEXT NOT NULL, -- why it is none
    detail TEXT NOT NULL, -- what it is
    PRIMARY KEY (path, why, detail)
) WITHOUT ROWID;

-- Each machine that is on the share, with what each profile of the last run makes of it; where that is not known yet,
-- `profile` and `readiness` are empty.
CREATE VIEW machine_readiness AS
SELECT
    machines.name AS machine,
    machines.state,
    profiles.name AS profile,
    verdicts.readiness,
    (
        SELECT group_concat(rule, ', ')
        FROM (
            SELECT DISTINCT rule FROM findings
            WHERE findings.machine = machines.id AND findings.profile = profiles.id
                AND severity = 'blocker' AND outcome IN ('fail', 'unknown')
            ORDER BY rule
        )
    ) AS blockers,
    (SELECT count(*) FROM disks WHERE disks.machine = machines.id) AS disks,
    (SELECT sum(virtual_size) FROM disks WHERE disks.machine = machines.id) AS virtual_size,
    (
        SELECT group_concat(product, ', ')
        FROM (SELECT coalesce(product, family) AS product FROM systems WHERE systems.machine = machines.id ORDER BY position)
    ) AS systems,
    machines.failure,
    machines.detail
FROM machines
LEFT JOIN verdicts ON verdicts.machine = machines.id
    AND verdicts.profile IN (SELECT profile FROM current_profiles)
LEFT JOIN profiles ON profiles.id = verdicts.profile
WHERE machines.present
ORDER BY machines.name, verdicts.profile;

-- Every finding about a machine that is on the share, with the requirement that it rests on.
CREATE VIEW machine_findings AS
SELECT
    machines.name AS machine,
    machines.state,
    profiles.name AS profile,
    findings.rule,
    findings.severity,
    findings.outcome,
    findings.system,
    findings.summary,
    findings.evidence,
    requirements.text AS requirement,
    requirements.source,
    requirements.remedy,
    requirements.predicts
FROM findings
JOIN machines ON machines.id = findings.machine
JOIN profiles ON profiles.id = findings.profile
JOIN requirements ON requirements.id = findings.requirement
WHERE machines.present AND findings.profile IN (SELECT profile FROM current_profiles);

-- How many machines each rule fails for, or could not be decided for.
CREATE VIEW rule_counts AS
SELECT
    profile,
    rule,
    severity,
    count(DISTINCT CASE WHEN outcome = 'fail' THEN machine END) AS failed,
    count(DISTINCT CASE WHEN outcome = 'unknown' THEN machine END) AS unknown,
    count(DISTINCT machine) AS machines
FROM machine_findings
GROUP BY profile, rule, severity
ORDER BY profile, failed DESC, unknown DESC, rule;

-- What stands between machines and the target: `machines` have this rule among their blockers (failed or undecided),
-- for `alone` it is the only one. Machines that could not be read are left out.
CREATE VIEW blocking_rules AS
WITH blockers AS (
    SELECT DISTINCT profile, machine, rule FROM machine_findings
    WHERE severity = 'blocker' AND outcome IN ('fail', 'unknown') AND state = 'done'
),
counted AS (SELECT profile, machine, count(*) AS rules FROM blockers GROUP BY profile, machine)
SELECT
    blockers.profile,
    blockers.rule,
    count(*) AS machines,
    sum(counted.rules = 1) AS alone
FROM blockers
JOIN counted ON counted.profile = blockers.profile AND counted.machine = blockers.machine
GROUP BY blockers.profile, blockers.rule
ORDER BY blockers.profile, alone DESC, machines DESC, blockers.rule;

-- Installed systems by product and version.
CREATE VIEW system_counts AS
SELECT
    systems.family,
    systems.product,
    systems.version,
    count(*) AS systems,
    count(DISTINCT systems.machine) AS machines
FROM systems
JOIN machines ON machines.id = systems.machine
WHERE machines.present
GROUP BY systems.family, systems.product, systems.version
ORDER BY machines DESC, systems.family, systems.product, systems.version;

-- Machines that could not be read, by the class of the failure.
CREATE VIEW failure_counts AS
SELECT failure, count(*) AS machines, min(name) AS for_example
FROM machines
WHERE present AND state = 'failed'
GROUP BY failure
ORDER BY machines DESC, failure;

-- All that was not scanned: machines that failed or were not reached, and paths that could not be looked at.
CREATE VIEW not_scanned AS
SELECT name AS what, 'machine' AS kind, coalesce(failure, 'pending') AS why, coalesce(detail, 'not scanned yet') AS detail
FROM machines
WHERE present AND state <> 'done'
UNION ALL
SELECT path, 'path', why, detail FROM path_problems;

-- The files of each machine that is on the share.
CREATE VIEW files_of_machines AS
SELECT
    machines.name AS machine,
    files.path,
    machine_files.role,
    machine_files.position,
    files.format,
    files.size,
    files.fingerprint
FROM machine_files
JOIN machines ON machines.id = machine_files.machine
JOIN files ON files.id = machine_files.file
WHERE machines.present
ORDER BY machines.name, machine_files.position IS NULL, machine_files.position, files.path;

-- Files whose structures are the same: probably copies of one image.
CREATE VIEW duplicate_files AS
SELECT files.fingerprint, files.path, files.size
FROM files
WHERE files.present AND files.fingerprint IN (
    SELECT fingerprint FROM files WHERE present AND fingerprint IS NOT NULL GROUP BY fingerprint HAVING count(*) > 1
)
ORDER BY files.fingerprint, files.path;

-- The profiles that the last run judged, which the other views are about.
CREATE VIEW current_profiles AS
SELECT run_profiles.position, run_profiles.profile, profiles.name, profiles.version
FROM run_profiles
JOIN profiles ON profiles.id = run_profiles.profile
WHERE run_profiles.run = (SELECT max(run) FROM run_profiles)
ORDER BY run_profiles.position;

-- What each attempt took.
CREATE VIEW attempt_costs AS
SELECT
    machines.name AS machine,
    attempts.run,
    attempts.number,
    attempts.outcome,
    attempts.part,
    attempts.cpu_seconds,
    attempts.max_rss,
    attempts.reads,
    attempts.bytes,
    attempts.sandbox
FROM attempts
JOIN machines ON machines.id = attempts.machine;
