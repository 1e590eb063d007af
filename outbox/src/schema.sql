-- Migration 1. All times are milliseconds since 1970 UTC unless their name says day.

CREATE TABLE inbox (
  id             INTEGER PRIMARY KEY,          -- assigned by the writer, without gaps
  received_at    INTEGER NOT NULL,
  source         TEXT    NOT NULL,
  site           TEXT    NOT NULL,             -- whose patients it speaks of; empty where no site takes it
  handler        TEXT    NOT NULL,             -- what the pipeline does with it
  kind           TEXT    NOT NULL,
  control_id     TEXT    NOT NULL,
  hash           BLOB    NOT NULL CHECK (length(hash) = 32),
  refused        INTEGER NOT NULL CHECK (refused IN (0, 1)),
  control_reused INTEGER NOT NULL CHECK (control_reused IN (0, 1)),
  body_bytes     INTEGER NOT NULL,             -- of the message as received
  body           BLOB    NOT NULL CHECK (length(body) <= body_bytes), -- packed where shorter: see packed.rs
  removed_at     INTEGER,                      -- when retention removed the body (prune.rs); it is empty then
  CHECK (removed_at IS NULL OR length(body) = 0)
) STRICT;
CREATE INDEX inbox_refused ON inbox (id) WHERE refused = 1;

-- Who was taken in lately: a row for the messages of a commit.
CREATE TABLE dedupe (
  first_id INTEGER PRIMARY KEY,                -- inbox id of the first of them; entries may go, it stays
  entries  BLOB    NOT NULL CHECK (length(entries) % 40 = 0) -- see dedupe/table.rs
) STRICT;

CREATE TABLE watermark (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  inbox_id INTEGER NOT NULL
) STRICT;
INSERT INTO watermark (one, inbox_id) VALUES (1, 0);

CREATE TABLE quarantine (
  id       INTEGER PRIMARY KEY,
  inbox_id INTEGER NOT NULL,
  stage    TEXT    NOT NULL,
  place    TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  state    TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released', 'dropped', 'resolved')),
  state_at INTEGER,
  state_by TEXT,
  key      BLOB    CHECK (length(key) = 16),    -- of a message refused at intake: its identity, while it is open
  seen     INTEGER NOT NULL DEFAULT 1,          -- how often it was sent and refused
  last_at  INTEGER NOT NULL                     -- when last
) STRICT;
CREATE INDEX quarantine_message ON quarantine (inbox_id);
CREATE INDEX quarantine_open ON quarantine (id) WHERE state = 'open';
CREATE UNIQUE INDEX quarantine_key ON quarantine (key) WHERE key IS NOT NULL;

CREATE TABLE identity_queue (
  id       INTEGER PRIMARY KEY,
  inbox_id INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  at       INTEGER NOT NULL,
  state    TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released', 'dropped', 'resolved')),
  state_at INTEGER,
  state_by TEXT
) STRICT;
CREATE INDEX identity_queue_message ON identity_queue (inbox_id);
CREATE INDEX identity_queue_open ON identity_queue (id) WHERE state = 'open';

-- Stored messages that the pipeline is to read anew; a set, so asking twice is asking once.
CREATE TABLE again (
  inbox_id INTEGER PRIMARY KEY,
  asked_at INTEGER NOT NULL
) STRICT;

-- What a message held beside the readings that were stored: reason and count, by message and patient.
CREATE TABLE set_aside (
  patient  INTEGER NOT NULL,
  inbox_id INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  count    INTEGER NOT NULL,
  PRIMARY KEY (patient, inbox_id, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX set_aside_message ON set_aside (inbox_id);

-- The messages that wait for a name (see patient) to become known, or for its birth date to be put right.
CREATE TABLE identity_wait (
  site     TEXT    NOT NULL,
  system   TEXT    NOT NULL,
  value    TEXT    NOT NULL,
  inbox_id INTEGER NOT NULL,
  due      INTEGER NOT NULL DEFAULT 0 CHECK (due IN (0, 1)), -- something was learned: to be read anew
  PRIMARY KEY (site, system, value, inbox_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_wait_message ON identity_wait (inbox_id);
CREATE INDEX identity_wait_due ON identity_wait (inbox_id) WHERE due = 1;

-- Every identifier under which results came, or may come, has a number of its own, and its readings stay under it.
CREATE TABLE patient (
  id     INTEGER PRIMARY KEY,
  site   TEXT NOT NULL,
  system TEXT NOT NULL,
  value  TEXT NOT NULL,
  -- Not of the kind that names the site's patients: what comes under it counts for whom it is bound to.
  alias  INTEGER NOT NULL DEFAULT 0 CHECK (alias IN (0, 1)),
  UNIQUE (site, system, value)
) STRICT;

-- Who is who: the readings of `child` count for `parent`, and so on upwards; `related` says only that somebody
-- holds both for one person. A link is never changed, only undone or agreed to. `rename` is a change by which `parent` took the
-- present identifier and `child` the former one: undone, they change places again.
CREATE TABLE patient_link (
  id             INTEGER PRIMARY KEY,
  child          INTEGER NOT NULL REFERENCES patient (id),
  parent         INTEGER NOT NULL REFERENCES patient (id),
  kind           TEXT    NOT NULL CHECK (kind IN ('adt', 'order', 'merge', 'change', 'rename', 'move', 'related')),
  inbox_id       INTEGER NOT NULL,             -- the message that said so, and its place in it
  ordinal        INTEGER NOT NULL,
  said_at        INTEGER NOT NULL,             -- when its source said so
  at             INTEGER NOT NULL,
  undone_at      INTEGER,
  undone_said_at INTEGER,
  agreed_at      INTEGER                       -- a person said that it is right although the birth dates contradict
) STRICT;
CREATE INDEX patient_link_child ON patient_link (child);
CREATE INDEX patient_link_parent ON patient_link (parent) WHERE undone_at IS NULL;
CREATE INDEX patient_link_message ON patient_link (inbox_id, ordinal);
CREATE UNIQUE INDEX patient_link_up ON patient_link (child)
  WHERE undone_at IS NULL AND kind IN ('merge', 'change', 'rename', 'move');

-- What messages say of a patient. For pages and for comparing: none of it leaves the box or is logged.
CREATE TABLE patient_fact (
  patient  INTEGER NOT NULL REFERENCES patient (id),
  fact     TEXT    NOT NULL CHECK (fact IN ('name', 'birth', 'result-birth', 'death')),
  value    TEXT    NOT NULL,                   -- patient data; empty where it was taken back
  said_at  INTEGER NOT NULL,
  inbox_id INTEGER NOT NULL,
  PRIMARY KEY (patient, fact)
) STRICT, WITHOUT ROWID;

-- Windows of `owner` that hold readings of `member` are to be computed again: who is who has changed.
CREATE TABLE rehomed (
  member INTEGER NOT NULL,
  owner  INTEGER NOT NULL,
  PRIMARY KEY (member, owner)
) STRICT, WITHOUT ROWID;
CREATE INDEX rehomed_owner ON rehomed (owner);

-- What a destination said of a patient before the first write, and whom it knows them as.
CREATE TABLE ehr_patient (
  destination TEXT    NOT NULL,
  patient     INTEGER NOT NULL,
  base        TEXT    NOT NULL,                -- the address that was asked; said by another server it counts for nothing
  finding     TEXT    NOT NULL,
  reference   TEXT,                            -- patient data: an EHR's own id may be made of anything
  at          INTEGER NOT NULL,
  PRIMARY KEY (destination, patient)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunk (
  id      INTEGER PRIMARY KEY,
  patient INTEGER NOT NULL,
  day     INTEGER NOT NULL,                    -- UTC, days since 1970
  device  TEXT    NOT NULL,
  version INTEGER NOT NULL,
  count   INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  UNIQUE (patient, day, device)
) STRICT;

-- What apps and devices logged beside glucose, and when sensors were started. Kept as readings are, under the identifier
-- that it came under; each event in the body names the message that brought it first.
CREATE TABLE app_event (
  id      INTEGER PRIMARY KEY,
  patient INTEGER NOT NULL,
  day     INTEGER NOT NULL,                    -- UTC, days since 1970
  device  TEXT    NOT NULL,                    -- empty where the source names none
  version INTEGER NOT NULL,
  count   INTEGER NOT NULL CHECK (count > 0),
  body    BLOB    NOT NULL,
  UNIQUE (patient, day, device)
) STRICT;

-- Two sources that say different things of one moment of a patient, or of one number of a summary. What its source
-- ended is `gone`, what a person has looked at is `settled`; such a row goes when the readings of its day have gone (prune.rs).
CREATE TABLE conflict (
  id           INTEGER PRIMARY KEY,
  patient      INTEGER NOT NULL REFERENCES patient (id),
  kind         TEXT    NOT NULL CHECK (kind IN ('reading', 'summary')),
  about        TEXT    NOT NULL,               -- the device, or the code of the number
  at           INTEGER NOT NULL,
  stands_id    INTEGER NOT NULL,               -- message that counts; 0 for what was computed here
  stands_route TEXT    NOT NULL,
  stands_value TEXT    NOT NULL,               -- patient data, as is the other
  yields_id    INTEGER NOT NULL,
  yields_route TEXT    NOT NULL,
  yields_value TEXT    NOT NULL,
  state        TEXT    NOT NULL CHECK (state IN ('open', 'settled', 'gone')),
  since        INTEGER NOT NULL,
  state_at     INTEGER NOT NULL,
  note         TEXT    NOT NULL,
  UNIQUE (patient, kind, about, at, stands_route, stands_value, yields_route, yields_value)
) STRICT;
CREATE INDEX conflict_open ON conflict (patient, at) WHERE state = 'open';

-- Numbers of CGM summaries that others computed, by message: they are compared with ours and never written.
CREATE TABLE foreign_summary (
  patient    INTEGER NOT NULL,
  first_date TEXT    NOT NULL,
  last_date  TEXT    NOT NULL,
  code       TEXT    NOT NULL,
  inbox_id   INTEGER NOT NULL,
  value      TEXT    NOT NULL,
  retracted  INTEGER NOT NULL CHECK (retracted IN (0, 1)),
  made_at    INTEGER NOT NULL,
  PRIMARY KEY (patient, first_date, last_date, code, inbox_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE outcome_window (
  id                 INTEGER PRIMARY KEY,
  patient            INTEGER NOT NULL REFERENCES patient (id),
  -- For whom it was made first: what is written keeps its identifiers when patients are merged.
  origin             INTEGER NOT NULL REFERENCES patient (id),
  days               INTEGER NOT NULL,
  end_day            INTEGER NOT NULL,         -- local date, exclusive, days since 1970
  zone               TEXT    NOT NULL,
  policy             TEXT    NOT NULL,
  due_at             INTEGER,
  dirty_since        INTEGER,
  generation         INTEGER NOT NULL DEFAULT 0,
  version            INTEGER NOT NULL DEFAULT 0,
  display_hash       BLOB,
  first_published_at INTEGER,
  -- What was last computed, where it is not that of the version: packed where that is shorter, see packed.rs.
  outcome            BLOB,
  outcome_bytes      INTEGER,
  manifest           TEXT,
  computed_at        INTEGER,
  UNIQUE (patient, days, end_day, zone, policy)
) STRICT;
CREATE INDEX outcome_window_origin ON outcome_window (origin) WHERE origin <> patient;
CREATE INDEX outcome_window_manifest ON outcome_window (manifest) WHERE manifest IS NOT NULL;
CREATE INDEX outcome_window_due ON outcome_window (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outcome_window_order ON outcome_window (end_day, id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outcome_window_dirty ON outcome_window (patient, days, end_day, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE published_version (
  window_id     INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  display_hash  BLOB    NOT NULL,
  outcome_bytes INTEGER NOT NULL,              -- as its maker wrote it
  outcome       BLOB    NOT NULL CHECK (length(outcome) <= outcome_bytes), -- packed where shorter: see packed.rs
  manifest      TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  consent       INTEGER NOT NULL,              -- entries of the consent ledger then
  removed_at    INTEGER,                       -- when retention removed the outcome (prune.rs); it is empty then
  PRIMARY KEY (window_id, version),
  CHECK (removed_at IS NULL OR length(outcome) = 0)
) STRICT, WITHOUT ROWID;
-- Whether a list is still cited is asked before it is removed.
CREATE INDEX published_version_manifest ON published_version (manifest);

CREATE TABLE manifest (
  id     TEXT    PRIMARY KEY,
  count  INTEGER NOT NULL,
  sha256 BLOB    NOT NULL CHECK (length(sha256) = 32),
  body   BLOB    NOT NULL,
  at     INTEGER NOT NULL,
  removed_at INTEGER                           -- when retention removed the list (prune.rs); it is empty then
) STRICT;

CREATE TABLE decision (
  id          INTEGER PRIMARY KEY,
  window_id   INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  destination TEXT    NOT NULL,
  decision    TEXT    NOT NULL,
  form        TEXT    NOT NULL,                -- in which it is written, where it is
  reason      TEXT    NOT NULL,
  at          INTEGER NOT NULL
) STRICT;
CREATE INDEX decision_window ON decision (window_id, version);

CREATE TABLE outbox (
  id          INTEGER PRIMARY KEY,
  destination TEXT    NOT NULL,
  patient     INTEGER NOT NULL,
  window_id   INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  form        TEXT    NOT NULL DEFAULT '',     -- the shape of what is sent, in the caller's words
  priority    INTEGER NOT NULL DEFAULT 1,      -- rows of a smaller number go first
  key         BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
  depends_on  INTEGER,
  state       TEXT    NOT NULL CHECK (state IN ('pending', 'leased', 'deferred', 'ambiguous',
                                                'delivered', 'quarantined', 'superseded', 'dropped', 'shown')),
  head        INTEGER NOT NULL CHECK (head IN (0, 1)),
  reason      TEXT,
  cause       TEXT,
  attempts    INTEGER NOT NULL DEFAULT 0,
  doubted     INTEGER NOT NULL DEFAULT 0 CHECK (doubted IN (0, 1)), -- an attempt at it may have taken effect
  weighed     INTEGER NOT NULL DEFAULT 0 CHECK (weighed >= 0), -- while it waits: in which round another form was asked for, 0 in none
  next_at     INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  free_since  INTEGER NOT NULL DEFAULT 0,      -- when it was let go last, after it had been held; 0 where it never was
  consent     INTEGER NOT NULL,                -- entries of the consent ledger then: what was decided by then, by no clock
  leased_at   INTEGER,
  doubt_since INTEGER,                         -- since when nobody knows whether it happened; kept while it is looked for
  settled_at  INTEGER,
  spent       TEXT,                            -- the spans of quotas that it was counted in last (quota.rs)
  server      INTEGER NOT NULL DEFAULT 0,      -- number of the server that it was sent to last (server.rs)
  cleared     INTEGER NOT NULL DEFAULT 0,      -- the last standstill after which it was leased (standstill.rs)
  CHECK (head = 0 OR state IN ('pending', 'leased', 'deferred', 'ambiguous')),
  CHECK (head = 1 OR state <> 'leased')
) STRICT;
-- One head per line: the database itself holds the order of delivery.
CREATE UNIQUE INDEX outbox_head ON outbox (destination, patient, kind) WHERE head = 1;
CREATE INDEX outbox_due ON outbox (destination, state, priority, next_at, id) WHERE head = 1;
CREATE INDEX outbox_line ON outbox (destination, patient, kind, id)
  WHERE state IN ('pending', 'leased', 'deferred', 'ambiguous');
CREATE INDEX outbox_state ON outbox (destination, state, created_at);
CREATE INDEX outbox_window ON outbox (window_id, destination, version);
CREATE INDEX outbox_doubt ON outbox (destination, doubt_since) WHERE doubt_since IS NOT NULL;
-- What is of no window: what people wanted written for a patient.
CREATE INDEX outbox_windowless ON outbox (patient) WHERE window_id = 0 AND patient <> 0;
CREATE INDEX outbox_depends ON outbox (depends_on) WHERE depends_on IS NOT NULL;
-- What waits for a person's word on consent is in no age.
CREATE INDEX outbox_deferred ON outbox (destination, created_at) WHERE state = 'deferred' AND reason IS NOT 'no-consent';
-- What waits, by why: what a change of the configuration or of the mode moves, and nothing else, is walked.
CREATE INDEX outbox_waiting ON outbox (destination, kind, state, reason) WHERE state IN ('pending', 'deferred');
-- What waits, by form: only what a round has not weighed yet is walked.
CREATE INDEX outbox_weighed ON outbox (destination, kind, form, weighed) WHERE state IN ('pending', 'deferred');
CREATE INDEX outbox_unconsented ON outbox (patient) WHERE state = 'deferred' AND reason = 'no-consent';
-- A row whose form is listed no more is passed by its line, whoever held it: the next one that may go is the head.
CREATE TRIGGER outbox_is_passed AFTER UPDATE OF state, reason ON outbox
  WHEN NEW.head = 1 AND NEW.state = 'deferred' AND NEW.reason IS 'form-not-listed' BEGIN
  UPDATE outbox SET head = 0 WHERE id = NEW.id;
  -- First after it, so that a line of which all is held is walked once. What was listed again while it was under way stands
  -- before it.
  UPDATE outbox SET head = 1 WHERE id = coalesce(
    (SELECT id FROM outbox
     WHERE destination = NEW.destination AND patient = NEW.patient AND kind = NEW.kind
       AND id > CASE OLD.state WHEN 'leased' THEN 0 ELSE NEW.id END
       AND state IN ('pending', 'leased', 'deferred', 'ambiguous')
       AND NOT (state = 'deferred' AND reason IS 'form-not-listed')
     ORDER BY id LIMIT 1),
    (SELECT id FROM outbox
     WHERE destination = NEW.destination AND patient = NEW.patient AND kind = NEW.kind
       AND state IN ('pending', 'leased', 'deferred', 'ambiguous')
       AND NOT (state = 'deferred' AND reason IS 'form-not-listed')
     ORDER BY id LIMIT 1));
END;
-- Listed again it takes its place in the line, behind what is under way.
CREATE TRIGGER outbox_is_passed_no_more AFTER UPDATE OF state, reason ON outbox
  WHEN OLD.state = 'deferred' AND OLD.reason IS 'form-not-listed' AND NEW.state IN ('pending', 'deferred')
    AND NOT (NEW.state = 'deferred' AND NEW.reason IS 'form-not-listed') BEGIN
  UPDATE outbox SET head = 0
    WHERE destination = NEW.destination AND patient = NEW.patient AND kind = NEW.kind AND head = 1
      AND state IN ('pending', 'deferred') AND id > NEW.id;
  UPDATE outbox SET head = 1 WHERE id = NEW.id AND NOT EXISTS (
    SELECT 1 FROM outbox
    WHERE destination = NEW.destination AND patient = NEW.patient AND kind = NEW.kind AND head = 1);
END;

-- How many rows of the outbox are in each state: counted as they change, for status asks every few seconds.
CREATE TABLE outbox_count (
  destination TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  number      INTEGER NOT NULL CHECK (number >= 0),
  PRIMARY KEY (destination, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER outbox_comes AFTER INSERT ON outbox BEGIN
  INSERT INTO outbox_count (destination, state, number) VALUES (NEW.destination, NEW.state, 1)
    ON CONFLICT (destination, state) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER outbox_changes AFTER UPDATE OF state ON outbox WHEN OLD.state <> NEW.state BEGIN
  UPDATE outbox_count SET number = number - 1 WHERE destination = OLD.destination AND state = OLD.state;
  INSERT INTO outbox_count (destination, state, number) VALUES (NEW.destination, NEW.state, 1)
    ON CONFLICT (destination, state) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER outbox_goes AFTER DELETE ON outbox BEGIN
  UPDATE outbox_count SET number = number - 1 WHERE destination = OLD.destination AND state = OLD.state;
END;

CREATE TABLE outbox_body (
  row_id     INTEGER PRIMARY KEY,
  sha256     BLOB NOT NULL CHECK (length(sha256) = 32),
  bytes      BLOB,                             -- none once the site's retention has removed them (retention.rs)
  removed_at INTEGER,
  CHECK ((bytes IS NULL) = (removed_at IS NOT NULL))
) STRICT;

-- How many writes were made, or may have been, in the present span of a quota.
CREATE TABLE sent (
  destination TEXT    NOT NULL,
  span        TEXT    NOT NULL,
  began       INTEGER NOT NULL,
  rows        INTEGER NOT NULL,
  PRIMARY KEY (destination, span)
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (
  destination TEXT    NOT NULL,
  patient     INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY (destination, patient)
) STRICT, WITHOUT ROWID;

-- The addresses of each destination. Those of one server have one number: by it rows and the ledger say where they stand.
CREATE TABLE server (
  destination TEXT    NOT NULL,
  base        TEXT    NOT NULL,
  number      INTEGER NOT NULL,
  in_force    INTEGER NOT NULL CHECK (in_force IN (0, 1)),
  since       INTEGER NOT NULL,
  PRIMARY KEY (destination, base)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX server_in_force ON server (destination) WHERE in_force = 1;

CREATE TABLE written (
  destination  TEXT    NOT NULL,
  server       INTEGER NOT NULL,               -- where it stands: the same place at another server is another resource
  identifier   TEXT    NOT NULL,
  location     TEXT    NOT NULL,               -- empty where it stands and nobody knows where
  told         INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)), -- a person said so: it is looked for before it is written over
  etag         TEXT,
  content_hash BLOB    NOT NULL CHECK (length(content_hash) = 32),
  version      INTEGER NOT NULL,
  row_id       INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  PRIMARY KEY (destination, server, identifier)
) STRICT, WITHOUT ROWID;
CREATE INDEX written_row ON written (row_id);

CREATE TABLE mode (
  site        TEXT    NOT NULL,
  destination TEXT    NOT NULL,
  capability  TEXT    NOT NULL,
  mode        TEXT    NOT NULL,
  since       INTEGER NOT NULL,
  cause       TEXT    NOT NULL,
  evidence    TEXT    NOT NULL,
  PRIMARY KEY (site, destination, capability)
) STRICT, WITHOUT ROWID;

CREATE TABLE condition (
  name   TEXT    NOT NULL,
  scope  TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (name, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id     INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  actor  TEXT    NOT NULL,
  action TEXT    NOT NULL,
  object TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  hash   BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Appended to only, at the end: a row that replaces another is refused too. Who has the key can drop a trigger; the chain of
-- hashes shows it.
CREATE TRIGGER audit_is_appended_to BEFORE INSERT ON audit
  WHEN NEW.id <> (SELECT coalesce(max(id), 0) + 1 FROM audit) BEGIN
  SELECT RAISE(ABORT, 'the audit log is appended to only');
END;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit log is appended to only');
END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit log is appended to only');
END;

-- The head of the audit log as it was once a day, signed by the box's own key.
CREATE TABLE audit_seal (
  day       INTEGER PRIMARY KEY,               -- UTC, days since 1970
  box_id    TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  entries   INTEGER NOT NULL CHECK (entries >= 0),
  head      BLOB    NOT NULL CHECK (length(head) = 32),
  key       BLOB    NOT NULL,                  -- the public one
  signature BLOB    NOT NULL
) STRICT;
CREATE TRIGGER audit_seal_is_not_changed BEFORE UPDATE ON audit_seal BEGIN
  SELECT RAISE(ABORT, 'seals of the audit log stay as they are');
END;
CREATE TRIGGER audit_seal_is_not_deleted BEFORE DELETE ON audit_seal BEGIN
  SELECT RAISE(ABORT, 'seals of the audit log stay as they are');
END;

-- The consent ledger: what was decided for an identifier and a purpose. Appended to only, each entry chained by hash to
-- the one before it; what is in force is derived (in_force.rs), in the order of the numbers and not of a clock.
CREATE TABLE consent (
  id            INTEGER PRIMARY KEY,           -- without gaps
  at            INTEGER NOT NULL,              -- when it was recorded, by the clock of the box
  patient       INTEGER NOT NULL REFERENCES patient (id), -- the identifier that was named, not whom it counts for
  named         BLOB    NOT NULL CHECK (length(named) = 32), -- salted hash of that identifier as it was then
  purpose       TEXT    NOT NULL CHECK (purpose IN ('treatment', 'upstream', 'payer')),
  decision      TEXT    NOT NULL CHECK (decision IN ('grant', 'withdraw', 'end')),
  from_at       INTEGER NOT NULL,
  until_at      INTEGER,
  past          INTEGER NOT NULL CHECK (past IN (0, 1)), -- it reaches back before it was recorded
  link          INTEGER NOT NULL,              -- the last of patient_link then: it speaks for who was one person by those
  source        TEXT    NOT NULL CHECK (source IN ('cli', 'fhir', 'message')),
  inbox_id      INTEGER,                       -- the message that said so
  document      BLOB    CHECK (length(document) = 32),      -- which FHIR Consent
  document_hash BLOB    CHECK (length(document_hash) = 32), -- and its content
  document_at   INTEGER,                       -- and when that was last changed, as it says itself
  document_stamped INTEGER NOT NULL CHECK (document_stamped IN (0, 1)), -- by its server's meta.lastUpdated
  actor         TEXT    NOT NULL,              -- who recorded it
  behalf        TEXT    NOT NULL,              -- for whom: may name people, so shown on request only
  reason        TEXT    NOT NULL,
  hash          BLOB    NOT NULL CHECK (length(hash) = 32),
  CHECK ((document IS NULL) = (document_hash IS NULL))
) STRICT;
CREATE INDEX consent_patient ON consent (patient, purpose, id);
CREATE INDEX consent_document ON consent (document, id) WHERE document IS NOT NULL;
CREATE INDEX consent_from ON consent (from_at);
CREATE INDEX consent_until ON consent (until_at) WHERE until_at IS NOT NULL;
CREATE TRIGGER consent_is_not_changed BEFORE UPDATE ON consent BEGIN
  SELECT RAISE(ABORT, 'the consent ledger is appended to only');
END;
CREATE TRIGGER consent_is_not_deleted BEFORE DELETE ON consent BEGIN
  SELECT RAISE(ABORT, 'the consent ledger is appended to only');
END;

-- The last meta.lastUpdated of each FHIR Consent that was met, also where its content had not changed.
CREATE TABLE consent_stamp (
  document BLOB    PRIMARY KEY CHECK (length(document) = 32),
  at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What holds at a site where the ledger says nothing, as the configuration in force has it.
CREATE TABLE consent_default (
  site    TEXT    NOT NULL,
  purpose TEXT    NOT NULL CHECK (purpose IN ('treatment', 'upstream', 'payer')),
  permit  INTEGER NOT NULL CHECK (permit IN (0, 1)),
  PRIMARY KEY (site, purpose)
) STRICT, WITHOUT ROWID;

-- What people at a site want written beside what is computed: a note, a goal, an outcome in another form, or that what
-- stands is taken back. Nothing of it is deleted; what is held has no row in the queue until somebody decides (intent.rs).
CREATE TABLE intent (
  id           INTEGER PRIMARY KEY,
  key          BLOB    NOT NULL UNIQUE CHECK (length(key) = 32), -- of the request: asked twice it is one intent
  patient      INTEGER NOT NULL REFERENCES patient (id),
  window_id    INTEGER,                        -- the outcome that it is about
  kind         TEXT    NOT NULL CHECK (kind IN ('note', 'goal', 'flowsheet', 'withdraw')),
  body         TEXT    NOT NULL,               -- may hold free words about a patient, so shown on request only
  author       TEXT    NOT NULL,               -- as named
  role         TEXT,
  behalf       TEXT,
  transcribed  TEXT,                           -- who typed it, as the kernel tells
  entered_at   INTEGER NOT NULL,
  confirmed_at INTEGER NOT NULL,               -- when its author last stood by it
  fresh_ms     INTEGER NOT NULL CHECK (fresh_ms > 0), -- how long that holds
  decided      INTEGER NOT NULL DEFAULT 0 CHECK (decided IN (0, 1)), -- a person let it go although the patient died
  own          INTEGER NOT NULL CHECK (own IN (0, 1)), -- the box itself: its window was published and has no readings left
  state        TEXT    NOT NULL CHECK (state IN ('waiting', 'held', 'queued', 'done', 'withdrawn', 'expired')),
  reason       TEXT    NOT NULL DEFAULT '',    -- why it is held
  state_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX intent_open ON intent (state, id) WHERE state NOT IN ('done', 'withdrawn');
CREATE INDEX intent_patient ON intent (patient, id);
CREATE INDEX intent_window ON intent (window_id, kind) WHERE window_id IS NOT NULL;

-- The rows of the queue that an intent became; a new round each time that it was let go again.
CREATE TABLE intent_row (
  row_id INTEGER PRIMARY KEY,
  intent INTEGER NOT NULL REFERENCES intent (id),
  round  INTEGER NOT NULL
) STRICT;
CREATE INDEX intent_row_intent ON intent_row (intent, round);
CREATE TRIGGER intent_is_done AFTER UPDATE OF state ON outbox
  WHEN NEW.state = 'delivered' AND EXISTS (SELECT 1 FROM intent_row WHERE row_id = NEW.id) BEGIN
  UPDATE intent SET state = 'done', state_at = coalesce(NEW.settled_at, state_at)
    WHERE state = 'queued' AND id = (SELECT intent FROM intent_row WHERE row_id = NEW.id)
      AND NOT EXISTS (
        SELECT 1 FROM intent_row r JOIN outbox o ON o.id = r.row_id
        WHERE r.intent = intent.id AND o.state <> 'delivered'
          AND r.round = (SELECT round FROM intent_row WHERE row_id = NEW.id));
END;

-- Times in which nothing is leased, because the store may not know what was written (standstill.rs). At most one lasts.
CREATE TABLE standstill (
  id       INTEGER PRIMARY KEY,
  since    INTEGER NOT NULL,
  cause    TEXT    NOT NULL,
  detail   TEXT    NOT NULL,
  ended_at INTEGER CHECK (ended_at >= since)
) STRICT;
CREATE UNIQUE INDEX standstill_one ON standstill ((1)) WHERE ended_at IS NULL;

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
