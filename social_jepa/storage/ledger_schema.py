"""The tables of the ledger, and the queries that read the newest rows of them.

Columns are there for SQL; the column ``details`` is the whole record as JSON, and is what is read back.
"""

SCHEMA_VERSION = 4
TABLES = """
CREATE TABLE IF NOT EXISTS program (version TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (time REAL NOT NULL, type TEXT NOT NULL, details TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_type ON events (type, time);
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, joined_at REAL NOT NULL, left_at REAL,
    incarnation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS member_versions (time REAL NOT NULL, name TEXT NOT NULL, details TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS versions_of_member ON member_versions (name, time);
CREATE TABLE IF NOT EXISTS bodies (tick INTEGER NOT NULL, name TEXT NOT NULL, pose TEXT);
CREATE TABLE IF NOT EXISTS agents (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, name TEXT NOT NULL, checkpoint TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS newest_agents ON agents (name, id, time);
CREATE TABLE IF NOT EXISTS edges (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    round INTEGER NOT NULL, source_incarnation INTEGER NOT NULL, target_incarnation INTEGER NOT NULL,
    source_checkpoint TEXT NOT NULL, target_checkpoint TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, r2 REAL, r2_shared REAL, null_correlation REAL,
    bytes INTEGER NOT NULL, details TEXT NOT NULL, maps BLOB,
    UNIQUE (source, target, round, source_incarnation, target_incarnation, source_checkpoint,
    target_checkpoint, status)
);
CREATE INDEX IF NOT EXISTS newest ON edges (source, target, id, time);
CREATE TABLE IF NOT EXISTS messages (
    time REAL NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL, edge_source TEXT NOT NULL,
    edge_target TEXT NOT NULL, type TEXT NOT NULL, bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_since ON messages (time);
"""
EDGE_COLUMNS = (
    "time",
    "source",
    "target",
    "round",
    "source_incarnation",
    "target_incarnation",
    "source_checkpoint",
    "target_checkpoint",
    "status",
    "reason",
    "r2",
    "r2_shared",
    "null_correlation",
    "bytes",
)
INSERT_EDGE = (
    f"INSERT OR IGNORE INTO edges ({', '.join(EDGE_COLUMNS)}, details, maps) "
    f"VALUES ({', '.join('?' * len(EDGE_COLUMNS))}, ?, ?)"
)
# Every ordered pair once. It steps from one pair to the next in the index ``newest`` (a loose index scan,
# which SQLite does not plan), so that the time depends on the pairs and hardly on their versions.
_PAIRS = """
WITH RECURSIVE sources(source) AS (
    SELECT min(source) FROM edges
    UNION ALL
    SELECT (SELECT min(source) FROM edges WHERE source > sources.source) FROM sources
    WHERE sources.source IS NOT NULL
), pairs(source, target) AS (
    SELECT source, (SELECT min(target) FROM edges WHERE edges.source = sources.source) FROM sources
    WHERE source IS NOT NULL
    UNION ALL
    SELECT source, (SELECT min(target) FROM edges WHERE edges.source = pairs.source AND target > pairs.target)
    FROM pairs WHERE pairs.target IS NOT NULL
)"""
_NEWEST = """pairs JOIN edges ON edges.id = (
    SELECT id FROM edges AS version WHERE version.source = pairs.source AND version.target = pairs.target
        AND version.time <= ? ORDER BY id DESC LIMIT 1)"""
PAIRS = f"{_PAIRS} SELECT source, target FROM pairs WHERE target IS NOT NULL"
NEWEST_EDGES = f"""{_PAIRS}
SELECT details, maps FROM {_NEWEST} ORDER BY edges.source, edges.target
"""
ENDED_PAIRS = f"{_PAIRS} SELECT edges.source, edges.target FROM {_NEWEST} WHERE edges.status = 'ended'"
# The last edge of an ordered pair before its tombstone, and its largest round; without a tombstone no row.
PARTED_EDGE = """
SELECT last.details, last.maps,
    (SELECT max(round) FROM edges WHERE source = newest.source AND target = newest.target)
FROM edges AS newest JOIN edges AS last ON last.id = (
    SELECT id FROM edges AS version WHERE version.source = newest.source AND version.target = newest.target
        AND version.status != 'ended' ORDER BY id DESC LIMIT 1)
WHERE newest.status = 'ended' AND newest.id = (
    SELECT id FROM edges AS version WHERE version.source = ? AND version.target = ? ORDER BY id DESC LIMIT 1)
"""
NEWEST_AGENTS = """
SELECT details FROM agents WHERE id IN
    (SELECT max(id) FROM agents WHERE time <= ? GROUP BY name)
"""
MEMBERS = """
SELECT (SELECT details FROM member_versions AS version
    WHERE version.name = members.name AND time <= ? ORDER BY rowid DESC LIMIT 1)
FROM members WHERE joined_at <= ? AND (left_at IS NULL OR left_at > ?) ORDER BY number
"""
EDGE_SCORES = f"""{_PAIRS}, published AS (
    SELECT name, checkpoint, coalesce(json_extract(details, '$.pose_version'), 0) AS pose_version
    FROM agents WHERE id IN (SELECT max(id) FROM agents GROUP BY name)
), stands AS (
    SELECT name, coalesce(json_extract(details, '$.pose_version'), 0) AS pose_version
    FROM member_versions WHERE rowid IN (SELECT max(rowid) FROM member_versions GROUP BY name)
), current AS MATERIALIZED (
    SELECT published.name AS name, checkpoint, published.pose_version != stands.pose_version AS moved
    FROM published JOIN stands ON published.name = stands.name
), present AS MATERIALIZED (SELECT name FROM members WHERE left_at IS NULL)
SELECT edges.source, edges.target, status, r2_shared,
    coalesce(start.moved OR start.checkpoint != source_checkpoint, 0)
    OR coalesce(finish.moved OR finish.checkpoint != target_checkpoint, 0)
FROM {_NEWEST}
LEFT JOIN current AS start ON start.name = edges.source
LEFT JOIN current AS finish ON finish.name = edges.target
WHERE status != 'ended' AND edges.source IN present AND edges.target IN present
"""
