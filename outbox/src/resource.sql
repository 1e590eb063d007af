-- The end of migration 1. All times are milliseconds since 1970 UTC.

-- Resources of the local FHIR endpoint: what was sent there, and what the box makes of what it knows. `id` and `tag` together
-- are the name: after a restore the same number with another tag is another resource. None is ever deleted.
CREATE TABLE resource (
  id         INTEGER PRIMARY KEY,
  tag        INTEGER NOT NULL,                 -- by chance, 32 bits
  site       TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  version    INTEGER NOT NULL CHECK (version > 0), -- the one that stands
  updated_at INTEGER NOT NULL,
  from_at    INTEGER NOT NULL,                 -- its time, in the caller's words: a search goes by it
  until_at   INTEGER NOT NULL CHECK (until_at >= from_at),
  keys       BLOB    NOT NULL CHECK (length(keys) % 8 = 0) -- what it is found by, as in resource_key
) STRICT;
CREATE INDEX resource_updated ON resource (site, kind, updated_at, id);

CREATE TABLE resource_version (
  resource   INTEGER NOT NULL REFERENCES resource (id),
  version    INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  release    TEXT    NOT NULL,                 -- of FHIR, in which the body is
  inbox_id   INTEGER NOT NULL,                 -- the message that it is; 0 where the box made it
  body_bytes INTEGER,
  body       BLOB,                             -- of what the box made: packed where that is shorter, see packed.rs
  PRIMARY KEY (resource, version),
  CHECK ((inbox_id = 0) = (body IS NOT NULL AND body_bytes IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX resource_version_message ON resource_version (inbox_id) WHERE inbox_id <> 0;

-- What resources are found by: a hash of the site, the kind and a term. It narrows a search; the resource itself decides.
CREATE TABLE resource_key (
  key      INTEGER NOT NULL,
  from_at  INTEGER NOT NULL,
  resource INTEGER NOT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (key, from_at, resource)
) STRICT, WITHOUT ROWID;

-- Which resource shows what the box knows: of a window one for each part, of a patient one, of an intent one.
CREATE TABLE served (
  what     TEXT    NOT NULL CHECK (what IN ('window', 'patient', 'intent', 'consent')),
  id       INTEGER NOT NULL,
  part     TEXT    NOT NULL,
  resource INTEGER NOT NULL REFERENCES resource (id),
  PRIMARY KEY (what, id, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX served_resource ON served (resource);

-- What has changed since the resources that show it were made. `turn` rises with each change.
CREATE TABLE unserved (
  what TEXT    NOT NULL CHECK (what IN ('window', 'patient', 'intent', 'consent')),
  id   INTEGER NOT NULL,
  turn INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (what, id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER version_is_unserved AFTER INSERT ON published_version BEGIN
  INSERT INTO unserved (what, id) VALUES ('window', NEW.window_id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
-- Its readings were all taken back, or its patient is another one now.
CREATE TRIGGER emptied_is_unserved AFTER UPDATE OF display_hash ON outcome_window
  WHEN NEW.version > 0 AND NEW.display_hash IS NULL AND OLD.display_hash IS NOT NULL BEGIN
  INSERT INTO unserved (what, id) VALUES ('window', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER moved_window_is_unserved AFTER UPDATE OF patient ON outcome_window
  WHEN NEW.version > 0 AND NEW.patient <> OLD.patient BEGIN
  INSERT INTO unserved (what, id) VALUES ('window', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER patient_is_unserved AFTER INSERT ON patient BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER fact_is_unserved AFTER INSERT ON patient_fact BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.patient) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER new_fact_is_unserved AFTER UPDATE OF value ON patient_fact WHEN OLD.value <> NEW.value BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.patient) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER link_is_unserved AFTER INSERT ON patient_link BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.child) ON CONFLICT DO UPDATE SET turn = turn + 1;
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.parent) ON CONFLICT DO UPDATE SET turn = turn + 1;
  INSERT INTO unserved (what, id) SELECT 'window', id FROM outcome_window WHERE patient = NEW.child AND version > 0
    ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER undone_link_is_unserved AFTER UPDATE OF undone_at ON patient_link BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.child) ON CONFLICT DO UPDATE SET turn = turn + 1;
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.parent) ON CONFLICT DO UPDATE SET turn = turn + 1;
  INSERT INTO unserved (what, id) SELECT 'window', id FROM outcome_window WHERE patient = NEW.child AND version > 0
    ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER renamed_is_unserved AFTER UPDATE OF site, system, value ON patient BEGIN
  INSERT INTO unserved (what, id) VALUES ('patient', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER intent_is_unserved AFTER INSERT ON intent WHEN NEW.own = 0 BEGIN
  INSERT INTO unserved (what, id) VALUES ('intent', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER moved_intent_is_unserved AFTER UPDATE OF state, reason ON intent
  WHEN NEW.own = 0 AND (OLD.state <> NEW.state OR OLD.reason <> NEW.reason) BEGIN
  INSERT INTO unserved (what, id) VALUES ('intent', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;
CREATE TRIGGER consent_is_unserved AFTER INSERT ON consent BEGIN
  INSERT INTO unserved (what, id) VALUES ('consent', NEW.id) ON CONFLICT DO UPDATE SET turn = turn + 1;
END;

-- Days of which readings were removed (prune.rs): no window of them is computed any more.
CREATE TABLE readings_removed (
  patient INTEGER NOT NULL,
  day     INTEGER NOT NULL,                    -- UTC, days since 1970
  at      INTEGER NOT NULL,
  PRIMARY KEY (patient, day)
) STRICT, WITHOUT ROWID;

-- Orders that nothing be removed: of a site, a patient, a span of time; what is not given is any. None is ever deleted.
CREATE TABLE legal_hold (
  id           INTEGER PRIMARY KEY,
  at           INTEGER NOT NULL,
  actor        TEXT    NOT NULL,
  reason       TEXT    NOT NULL,
  site         TEXT,
  patient      INTEGER REFERENCES patient (id),
  from_at      INTEGER,
  until_at     INTEGER,
  ended_at     INTEGER,
  ended_by     TEXT,
  ended_reason TEXT,
  CHECK ((from_at IS NULL) = (until_at IS NULL) AND (from_at IS NULL OR from_at <= until_at)),
  CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (ended_reason IS NULL))
) STRICT;

-- What else was found while a standstill lasted, which ends as a whole (standstill.rs).
CREATE TABLE standstill_cause (
  id         INTEGER PRIMARY KEY,
  standstill INTEGER NOT NULL REFERENCES standstill (id),
  at         INTEGER NOT NULL,
  cause      TEXT    NOT NULL,
  detail     TEXT    NOT NULL
) STRICT;
CREATE INDEX standstill_cause_of ON standstill_cause (standstill);
