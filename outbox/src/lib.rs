//! The one store: an encrypted SQLite database with one writer thread and a pool of readers.
//!
//! This is the only room that knows SQLite, and it knows nothing of the wire or of the meaning of what it keeps:
//! messages, chunks of readings, outcomes and bytes to send are opaque here.
//!
//! The sentence it serves: *a positive ACK means committed and synced; everything after it can be restarted from
//! the store.*
//!
//! | what | where |
//! |---|---|
//! | opening, refusing, closing | [`Store`], [`OpenError`], [`Key`] |
//! | taking a message in, or those of one frame | [`Writer::intake`], [`Writer::intake_together`] |
//! | readings, app events and windows from messages | [`Writer::absorb`] |
//! | a version and its effects | [`Writer::publish`] |
//! | a message for a destination | [`Writer::enqueue`] |
//! | what people want written | [`Writer::enter_intent`], [`Reader::intents`] |
//! | consent | [`Writer::consent`], [`Reader::consent`] |
//! | bytes that nobody needs any more | [`Reader::removable`], [`Writer::remove_bytes`] |
//! | nothing leaves while it lasts | [`Writer::begin_standstill`], [`Reader::standstill`] |
//! | delivery | [`Writer::lease`], [`Writer::settle`], [`Writer::turn`], [`State::after`] |
//! | resources of the local endpoint | [`Writer::put_resources`], [`Reader::find_resources`] |
//! | the audit log, its chain and seals | [`Writer::audit`], [`Reader::walk_audit`], [`Reader::audit_seals`] |
//! | copies: backup, restore, another key | [`Readers::copy`], [`copy`] |
//! | reading | [`Readers`], [`Reader`] |
//! | reading beside no daemon | [`ClosedStore`] |

mod again;
mod arrivals;
mod audit;
mod audit_chain;
mod audit_fault;
mod audit_seal;
pub mod bare;
mod chunk_days;
mod chunks;
mod closed;
mod command;
mod conditions;
mod conflicts;
mod consent;
mod consent_chain;
mod consent_default;
mod consent_import;
mod consent_record;
mod consent_rows;
pub mod copy;
mod dedupe;
mod doubt;
mod effect;
mod error;
mod facts;
mod fallback;
mod held;
mod identify;
mod in_force;
mod inbox;
mod intent;
mod intent_queue;
mod intent_rows;
mod intent_standing;
mod key;
mod lease;
mod ledger;
mod legal_hold;
mod lineage;
mod links;
mod listed;
mod look;
mod manifest;
mod messages;
mod meta;
mod mode;
mod open;
mod packed;
mod patients;
mod pick;
mod prune;
mod publish;
mod quarantine;
mod queue;
mod quota;
mod reader;
mod rehome;
mod release;
mod resource;
mod resource_read;
mod retention;
mod rows;
mod schema;
mod seats;
mod server;
mod set_aside;
mod settle;
mod settle_doubt;
mod skip;
mod stale;
mod standstill;
mod status;
mod store;
mod tail;
#[cfg(feature = "tampering")]
pub mod tampering;
mod thread;
mod turn;
mod unserved;
mod waiting;
mod waits;
mod windows;
mod writer;

pub use again::{Act, Acted, AskAgain, Asked, ReadAgain};
pub use arrivals::Came;
pub use audit::{AuditEntry, AuditHead};
pub use audit_chain::{AuditBreak, ChainedEntry};
pub use audit_fault::AuditFault;
pub use audit_seal::AuditSeal;
pub use chunk_days::DayChunk;
pub use chunks::{Chunk, ChunkWrite};
pub use closed::ClosedStore;
pub use command::Pending;
pub use conditions::Condition;
pub use conflicts::{Findings, ForeignSummary, FoundConflict, KeptConflict, Side};
pub use consent::{ConsentAnswer, ConsentDocument, ConsentEntry, ConsentHead, Purpose, Ruling};
pub use consent_default::ConsentDefault;
pub use consent_import::{ConsentRule, ConsentSaying, Imported, Misdated, Prospect};
pub use consent_record::Recorded;
pub use consent_rows::{Leased, Moved, NO_CONSENT, Stood};
pub use dedupe::DEDUPE_MAX_ENTRIES;
pub use doubt::IN_DOUBT;
pub use effect::{Effect, Whose};
pub use error::{Conflict, ReadError, SqliteFault, WriteError};
pub use facts::{Births, EhrPatient, Fact, KnownFact};
pub use fallback::{Shut, WEIGH_MOST, Weigh, Weighed};
pub use held::{Held, HeldFilter, HeldKind, HeldSum};
pub use identify::{Bound, Identified, Refusal, Saying, Statement};
pub use inbox::{Absorb, Arrival, Message, Receipt};
pub use intent::{CancelIntent, ConfirmIntent, Entered, NewIntent, QueueIntent, Reviewed};
pub use intent_queue::IntentRow;
pub use intent_rows::{Intent, IntentFilter, IntentPlace, WrittenPart};
pub use intent_standing::{
    IntentFacts, IntentState, Standing as IntentStanding, standing as intent_standing,
};
pub use key::{KEY_HEX_DIGITS, Key, KeyError, KeyWarning};
pub use lease::{BODY_CORRUPT, LEASE_MAX_BYTES, LEASE_MAX_ROWS, Lease, LeasedRow, Take};
pub use ledger::{Standing, Written};
pub use legal_hold::{AddHold, EndHold, HoldScope, LegalHold};
pub use links::Link;
pub use listed::{Enlist, Enlisted};
pub use look::{Decided, Place, Queued, RowFilter};
pub use manifest::Manifest;
pub use messages::NewMessage;
pub use mode::{Aligned, HELD, Mode, ModeChange};
pub use open::{DATABASE_FILE, FolderLock, LOCK_FILE, OpenError};
pub use patients::{Name, PatientKey};
pub use pick::{Pick, Picked};
pub use prune::{PRUNE_ROWS, Prunable, Prune, Pruned, RemovedMessage};
pub use publish::{Decision, Earlier, Enters, NewRow, Outcome, Publish};
pub use quarantine::{EntryState, IdentityEntry, QuarantineEntry, RefusedEntry};
pub use queue::{FORM_NOT_LISTED, PRIORITIES, State, Step, UNPROVEN, UNRESOLVED};
pub use quota::Quota;
pub use reader::{Pages, Reader, ReaderCounts, Readers};
pub use rehome::{Rehomed, Rehoming, Withdrawal};
pub use release::{DropRow, Release};
pub use resource::{
    GUARD_MOST, Guard, NewVersion, Placed, PutResources, ResourceId, Shown, Shows, Took, VersionBody,
};
pub use resource_read::{Find, Finding, Order, ResourceVersion, Spot};
pub use retention::{Expiry, LOOK_ROWS, REMOVE_BYTES, REMOVE_ROWS, Removable, RemoveBytes, Removed};
pub use rows::{OutboxRow, StandingVersion};
pub use schema::SCHEMA_VERSION;
pub use seats::Seat;
pub use server::{MoveServer, MovedRows, Server};
pub use set_aside::SetAside;
pub use settle::{Settle, Verdict};
pub use settle_doubt::SettleDoubt;
pub use skip::Skip;
pub use standstill::{BeginStandstill, Begun, FURTHER_MOST, FurtherCause, GAP, Standstill};
pub use status::Counts;
pub use store::{DEDUPE_HORIZON_MS, INTAKE_QUEUE, READERS, Store, StoreOptions, WORK_QUEUE};
pub use thread::{MAX_GROUP, MAX_GROUP_BYTES};
pub use turn::Turn;
pub use unserved::Unserved;
pub use waiting::{FileSeen, Learned, Wait, Waiting};
pub use windows::{Computed, DirtyWindow, Window, WindowKey};
pub use writer::{Writer, WriterCounts};
