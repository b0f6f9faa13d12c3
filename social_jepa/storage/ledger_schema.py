"""The tables of the ledger, and the questions that read the newest rows of them."""

SCHEMA_VERSION = 2
TABLES = """
CREATE TABLE IF NOT EXISTS events (time REAL NOT NULL, what TEXT NOT NULL, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, joined REAL NOT NULL, departed REAL,
    incarnation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS moves (time REAL NOT NULL, name TEXT NOT NULL, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bodies (tick INTEGER NOT NULL, name TEXT NOT NULL, pose TEXT);
CREATE TABLE IF NOT EXISTS agents (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, name TEXT NOT NULL, checkpoint TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS edges (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
    round INTEGER NOT NULL, source_incarnation INTEGER NOT NULL, target_incarnation INTEGER NOT NULL,
    source_checkpoint TEXT NOT NULL, target_checkpoint TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, r2 REAL, r2_core REAL, null_r2 REAL,
    bytes INTEGER NOT NULL, details TEXT NOT NULL, maps BLOB,
    UNIQUE (source, target, round, source_incarnation, target_incarnation, source_checkpoint,
    target_checkpoint, status)
);
CREATE INDEX IF NOT EXISTS newest ON edges (source, target, id);
CREATE TABLE IF NOT EXISTS messages (
    time REAL NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL, edge_source TEXT NOT NULL,
    edge_target TEXT NOT NULL, type TEXT NOT NULL, bytes INTEGER NOT NULL
);
"""
EDGE = (
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
    "r2_core",
    "null_r2",
    "bytes",
)
NEWEST_EDGES = """
SELECT time, details, maps FROM edges WHERE id IN
    (SELECT max(id) FROM edges WHERE time <= ? GROUP BY source, target) ORDER BY source, target
"""
NEWEST_AGENTS = """
SELECT time, details FROM agents WHERE id IN
    (SELECT max(id) FROM agents WHERE time <= ? GROUP BY name)
"""
MEMBERS = """
SELECT (SELECT details FROM moves WHERE moves.name = members.name AND time <= ? ORDER BY rowid DESC LIMIT 1),
    incarnation, joined
FROM members WHERE joined <= ? AND (departed IS NULL OR departed > ?) ORDER BY number
"""
