//! Saying who is who: identifiers are bound to patients, patients are merged, renumbered, moved and linked.
//!
//! Invariants: the same place of the same message has one effect; what would close a circle, or merge what was merged
//! elsewhere already, is refused and changes nothing; an identifier bound to several patients counts for nobody; what was
//! said later stands against what was said before, whatever the order of arrival; every change of who is who but the
//! binding of further identifiers is in the audit log, without a name.

use rusqlite::Connection;

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    doubt,
    error::WriteError,
    facts::{self, Fact},
    lineage::{self, Root},
    links::{self, Link, Said},
    patients::{self, Name, PatientKey},
    rehome::{self, Rehoming, Withdrawal},
    waiting,
};

/// Whence it is known that identifiers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The registration says so.
    Adt,
    /// An order says so.
    Order,
}

/// One thing said of who is who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
    /// The patient has these identifiers, and these things are said of the patient.
    Bind {
        /// The identifier that names the patient.
        patient: PatientKey,
        /// The others.
        others: Vec<Name>,
        /// Who says so.
        by: Bound,
        /// What is said beside.
        facts: Vec<Fact>,
    },
    /// What comes, or came, under `retired` counts for `survivor`.
    Merge {
        /// Who goes on.
        survivor: PatientKey,
        /// Whose identifier ends.
        retired: PatientKey,
    },
    /// The patient called `former` is called `present`.
    Renumber {
        /// Before.
        former: PatientKey,
        /// From now on.
        present: PatientKey,
    },
    /// What came under `moved` counts for another patient.
    Move {
        /// What is moved.
        moved: Name,
        /// Identifiers of the patient it counts for now.
        to: Vec<Name>,
        /// Identifiers of the patient it counted for.
        from: Vec<Name>,
    },
    /// Two records are said to be of one person; nothing follows.
    Link(PatientKey, PatientKey),
    /// That is said no more.
    Unlink(PatientKey, PatientKey),
}

/// Why a saying had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The survivor was merged into the retired one before.
    #[error("the merge would close a circle")]
    Circle,
    /// The identifier was merged into another patient before.
    #[error("the identifier was merged into another patient before")]
    MergedBefore,
    /// Nobody is known whom it could be moved to.
    #[error("no patient is known whom the identifier could be moved to")]
    NoTarget,
    /// A person, or a later message, has undone it.
    #[error("it was undone after it was said; a message that says so later is taken")]
    Undone,
    /// The chain of merges is longer than any that is walked.
    #[error("the chain of merges would be too long")]
    TooLong,
    /// The store cannot hold it: a fault of ours, and the message is kept for people.
    #[error("the store could not hold it: {text} (code {code})")]
    Failed {
        /// SQLite's extended result code, 0 where there is none.
        code: i32,
        /// A fixed text for it.
        text: &'static str,
    },
}

/// The system of an identifier while two numbers change places. No other has it: it is no URI, and has no `^`, which
/// stands in the system of every identifier of another kind.
const ASIDE: &str = "aside";

/// A saying, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The message.
    pub inbox_id: i64,
    /// Its place in the message.
    pub ordinal: i64,
    /// When its source said so, in milliseconds.
    pub said_at: i64,
    /// How windows are treated, and now.
    pub how: Rehoming,
    /// What is said.
    pub saying: Saying,
}

/// The command: statements in order.
pub(crate) struct Identify(pub Vec<Statement>);

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identified {
    /// Numbers that were looked up before may mean something else now.
    pub changed: bool,
    /// Sayings that were refused: the message, the saying's place in it, and why.
    pub refused: Vec<(i64, i64, Refusal)>,
    /// What people have to withdraw.
    pub withdrawals: Vec<Withdrawal>,
}

impl Command for Identify {
    type Out = Identified;

    fn bytes(&self) -> usize {
        self.0.len() * 256
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Identified, WriteError> {
        let mut told = Identified::default();
        for Statement { inbox_id, ordinal, said_at, how, saying } in self.0 {
            let said = Said { inbox_id, ordinal, said_at, at: how.at };
            let withdrawals = told.withdrawals.len();
            conn.prepare_cached("SAVEPOINT saying")?.execute([])?;
            let mut step = Step { conn, said, how, told: &mut told };
            let taken = match step.take(saying) {
                Ok(taken) => taken,
                // One message that the store cannot hold is a matter of that message, and the others go on.
                Err(error) => {
                    let refusal = of_one_saying(&error).filter(|_| !conn.is_autocommit()).ok_or(error)?;
                    conn.prepare_cached("ROLLBACK TO saying")?.execute([])?;
                    told.withdrawals.truncate(withdrawals);
                    Err(refusal)
                }
            };
            conn.prepare_cached("RELEASE saying")?.execute([])?;
            if let Err(refusal) = taken {
                told.refused.push((inbox_id, ordinal, refusal));
            }
        }
        Ok(told)
    }
}

/// What a failure means that would come again whenever the same saying is tried. `None` where the store itself failed,
/// so that the same may succeed later.
fn of_one_saying(error: &WriteError) -> Option<Refusal> {
    match error {
        WriteError::Sqlite(fault) if !fault.is_severe() && !fault.is_passing() => {
            Some(Refusal::Failed { code: fault.code, text: fault.text })
        }
        WriteError::Conflict(_) => Some(Refusal::Failed { code: 0, text: "a row stands otherwise" }),
        _ => None,
    }
}

/// Gives two numbers the identifiers named beside them, which are theirs crosswise.
fn exchange(conn: &Connection, one: (i64, &PatientKey), other: (i64, &PatientKey)) -> rusqlite::Result<()> {
    let aside = PatientKey { system: ASIDE.to_owned(), ..other.1.clone() };
    patients::rename(conn, other.0, &aside)?;
    patients::rename(conn, one.0, one.1)?;
    patients::rename(conn, other.0, other.1)
}

/// Gives the two numbers of a `rename` that was undone the identifiers they had before it.
pub(crate) fn rename_back(
    conn: &Connection,
    link: &Link,
    said: Said,
    how: &Rehoming,
) -> Result<(), WriteError> {
    let key = |id| patients::key_of(conn, id);
    let (former, present) = (key(link.child)?, key(link.parent)?);
    exchange(conn, (link.parent, &former), (link.child, &present))?;
    for key in [&former, &present] {
        waiting::learned(conn, key)?;
    }
    let mut told = Identified::default();
    let mut step = Step { conn, said, how: how.clone(), told: &mut told };
    step.renamed(link.parent)?.ok();
    Ok(())
}

type Taken = Result<Result<(), Refusal>, WriteError>;

struct Step<'a> {
    conn: &'a Connection,
    said: Said,
    how: Rehoming,
    told: &'a mut Identified,
}

impl Step<'_> {
    fn take(&mut self, saying: Saying) -> Taken {
        match saying {
            Saying::Bind { patient, others, by, facts } => self.bind(patient, others, by, &facts),
            _ if links::is_made(self.conn, self.said)? => Ok(Ok(())),
            Saying::Merge { survivor, retired } => {
                let (survivor, retired) = (self.patient(survivor)?, self.patient(retired)?);
                self.lead(retired, survivor, "merge")
            }
            Saying::Renumber { former, present } => self.renumber(former, present),
            Saying::Move { moved, to, from } => self.shift(&moved, &to, &from),
            Saying::Link(one, other) => self.relate(one, other),
            Saying::Unlink(one, other) => self.unrelate(one, other),
        }
    }

    fn patient(&self, key: PatientKey) -> rusqlite::Result<i64> {
        patients::row(self.conn, &Name { key, alias: false })
    }

    fn relink(
        &mut self,
        child: i64,
        change: impl FnOnce() -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        self.told.withdrawals.extend(rehome::relink(self.conn, child, &self.how, change)?);
        self.told.changed = true;
        Ok(())
    }

    fn audit(&self, action: &str, patient: i64, detail: &str) -> rusqlite::Result<()> {
        audit::append(
            self.conn,
            &[AuditEntry {
                actor: "isthmus".to_owned(),
                action: action.to_owned(),
                object: format!("patient {patient}"),
                detail: format!("{detail}; message {}", self.said.inbox_id),
                at: self.said.at,
            }],
        )
    }

    fn bind(&mut self, patient: PatientKey, others: Vec<Name>, by: Bound, facts: &[Fact]) -> Taken {
        let (conn, said) = (self.conn, self.said);
        waiting::learned(conn, &patient)?;
        let id = self.patient(patient)?;
        for other in others {
            waiting::learned(conn, &other.key)?;
            let child = patients::row(conn, &other)?;
            if child != id && links::may_bind(conn, child, id, said.said_at)? {
                let kind = match by {
                    Bound::Adt => "adt",
                    Bound::Order => "order",
                };
                self.relink(child, || Ok(links::insert(conn, child, id, kind, said)?))?;
            }
        }
        for fact in facts {
            self.told.changed |= facts::put(conn, id, fact, said.said_at, said.inbox_id, said.at)?;
        }
        Ok(Ok(()))
    }

    /// Makes what counts for `child` count for `parent`.
    fn lead(&mut self, child: i64, parent: i64, kind: &str) -> Taken {
        let (conn, said) = (self.conn, self.said);
        match links::upward(conn, child)? {
            Some((_, known, _, _)) if known == parent => return Ok(Ok(())),
            Some(_) => return Ok(Err(Refusal::MergedBefore)),
            None => {}
        }
        if let Some(refusal) = self.against(child, parent)? {
            return Ok(Err(refusal));
        }
        self.relink(child, || Ok(links::insert(conn, child, parent, kind, said)?))?;
        let action = match kind {
            "merge" => "patient merge",
            "change" => "patient renumber",
            _ => "patient move",
        };
        self.audit(action, child, &format!("into patient {parent}"))?;
        Ok(Ok(()))
    }

    /// What speaks against making `child` count for `parent`.
    fn against(&self, child: i64, parent: i64) -> rusqlite::Result<Option<Refusal>> {
        if lineage::closes_circle(self.conn, child, parent)? {
            return Ok(Some(Refusal::Circle));
        }
        if links::is_taken_back(self.conn, child, parent, self.said.said_at)? {
            return Ok(Some(Refusal::Undone));
        }
        Ok(lineage::is_too_long(self.conn, child, parent)?.then_some(Refusal::TooLong))
    }

    /// The number stays with the patient and gets the present identifier; the former one gets a number of its own
    /// that leads there.
    fn renumber(&mut self, former: PatientKey, present: PatientKey) -> Taken {
        let (conn, said) = (self.conn, self.said);
        let (a, b) = match (patients::find_any(conn, &former)?, patients::find_any(conn, &present)?) {
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) if links::upward(conn, a)?.is_some() => return Ok(Err(Refusal::MergedBefore)),
            (Some(a), None) => {
                patients::rename(conn, a, &present)?;
                let child = self.patient(former)?;
                links::insert(conn, child, a, "rename", said)?;
                return self.renamed(a);
            }
            (None, found) => {
                let parent = match found {
                    Some(parent) => parent,
                    None => self.patient(present)?,
                };
                let child = self.patient(former)?;
                return self.lead(child, parent, "change");
            }
        };
        match links::upward(conn, b)? {
            // It is called by its former identifier again: the two change places.
            Some((link, parent, kind, said_at))
                if parent == a && matches!(kind.as_str(), "change" | "rename") =>
            {
                if said.said_at < said_at {
                    return Ok(Ok(()));
                }
                exchange(conn, (a, &present), (b, &former))?;
                links::undo(conn, link, said.said_at, said.at)?;
                links::insert(conn, b, a, "rename", said)?;
                self.renamed(a)
            }
            _ => self.lead(a, b, "change"),
        }
    }

    /// What waits to be sent names the patient as before: it is made anew.
    fn renamed(&mut self, patient: i64) -> Taken {
        let (conn, at) = (self.conn, self.said.at);
        let windows: Vec<i64> = conn
            .prepare_cached("SELECT id FROM outcome_window WHERE patient = ?1 AND version > 0")?
            .query_map([patient], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for window in windows {
            if rehome::unsend(conn, window, "the patient's identifier was changed", at)? {
                conn.prepare_cached(
                    "UPDATE outcome_window SET due_at = ?2, dirty_since = coalesce(dirty_since, ?2),
                       generation = generation + 1 WHERE id = ?1",
                )?
                .execute([window, at])?;
            }
        }
        conn.prepare_cached("DELETE FROM ehr_patient WHERE patient = ?1")?.execute([patient])?;
        doubt::renew(conn, patient, at)?;
        self.told.changed = true;
        self.audit("patient renumber", patient, "it has another identifier")?;
        Ok(Ok(()))
    }

    fn shift(&mut self, moved: &Name, to: &[Name], from: &[Name]) -> Taken {
        let target = self.whom(to)?;
        let child = patients::row(self.conn, moved)?;
        if moved.alias {
            self.shift_alias(child, target, from)
        } else {
            self.shift_patient(child, target, to, from)
        }
    }

    /// The one patient that these identifiers lead to. One of the kind that names patients is enough.
    fn whom(&self, names: &[Name]) -> rusqlite::Result<Option<i64>> {
        if let Some(name) = names.iter().find(|name| !name.alias) {
            return Ok(Some(patients::row(self.conn, name)?));
        }
        let mut found = None;
        for name in names {
            let Some(id) = patients::find_any(self.conn, &name.key)? else { continue };
            match (lineage::root(self.conn, id)?, found) {
                (Root::One(root), None) => found = Some(root),
                (Root::One(root), Some(before)) if root == before => {}
                (Root::Nobody, _) => {}
                (Root::One(_) | Root::Several, _) => return Ok(None),
            }
        }
        Ok(found)
    }

    /// An identifier of another kind: its bonds end, unless they were made by something said later, and a new one begins.
    fn shift_alias(&mut self, child: i64, target: Option<i64>, from: &[Name]) -> Taken {
        let (conn, said) = (self.conn, self.said);
        let Some(target) = target else { return Ok(Err(Refusal::NoTarget)) };
        let from = self.whom(from)?;
        let bonds = links::bonds(conn, child)?;
        let ends = |parent: i64| parent != target && from.is_none_or(|from| parent == from);
        self.relink(child, || {
            for (link, parent, since) in &bonds {
                if ends(*parent) && *since <= said.said_at {
                    links::undo(conn, *link, said.said_at, said.at)?;
                }
            }
            if links::may_bind(conn, child, target, said.said_at)? {
                links::insert(conn, child, target, "adt", said)?;
            }
            Ok(())
        })?;
        self.audit("patient move", child, &format!("to patient {target}"))?;
        Ok(Ok(()))
    }

    /// The identifier that names a patient: all that came under it counts for the other from now on, or for itself again.
    fn shift_patient(&mut self, child: i64, target: Option<i64>, to: &[Name], from: &[Name]) -> Taken {
        let (conn, said) = (self.conn, self.said);
        let up = links::upward(conn, child)?;
        if let Some((_, _, kind, since)) = &up {
            if kind != "move" {
                return Ok(Err(Refusal::MergedBefore));
            }
            if *since > said.said_at {
                return Ok(Ok(()));
            }
        }
        let back = || match &up {
            Some((link, ..)) => links::undo(conn, *link, said.said_at, said.at),
            None => Ok(()),
        };
        let home = self.own(child, to)?;
        // Whom its own further identifiers lead to is itself.
        let below = lineage::descendants(conn, child)?;
        let Some(target) = target.filter(|target| !home && !below.contains(target)) else {
            self.relink(child, || Ok(back()?))?;
            self.audit("patient move", child, "it stands for itself")?;
            return if home { Ok(Ok(())) } else { self.rebind(child, to, from) };
        };
        if up.as_ref().is_none_or(|(_, parent, ..)| *parent != target)
            && let Some(refusal) = self.against(child, target)?
        {
            return Ok(Err(refusal));
        }
        self.relink(child, || {
            back()?;
            Ok(links::insert(conn, child, target, "move", said)?)
        })?;
        self.audit("patient move", child, &format!("to patient {target}"))?;
        Ok(Ok(()))
    }

    /// Whether these identifiers are bound to the patient directly.
    fn own(&self, patient: i64, names: &[Name]) -> rusqlite::Result<bool> {
        for name in names {
            let Some(id) = patients::find_any(self.conn, &name.key)? else { continue };
            if links::bonds(self.conn, id)?.iter().any(|(_, parent, _)| *parent == patient) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The person above the patient is another: that person's identifiers are bound, and the former's let go.
    fn rebind(&mut self, patient: i64, to: &[Name], from: &[Name]) -> Taken {
        let (conn, said) = (self.conn, self.said);
        for name in from.iter().filter(|name| name.alias) {
            let child = patients::row(conn, name)?;
            let bonds = links::bonds(conn, child)?;
            self.relink(child, || {
                for (link, parent, since) in bonds {
                    if parent == patient && since <= said.said_at {
                        links::undo(conn, link, said.said_at, said.at)?;
                    }
                }
                Ok(())
            })?;
        }
        for name in to.iter().filter(|name| name.alias) {
            let child = patients::row(conn, name)?;
            if links::may_bind(conn, child, patient, said.said_at)? {
                self.relink(child, || Ok(links::insert(conn, child, patient, "adt", said)?))?;
            }
        }
        Ok(Ok(()))
    }

    fn relate(&mut self, one: PatientKey, other: PatientKey) -> Taken {
        let (one, other) = (self.patient(one)?, self.patient(other)?);
        if links::related(self.conn, one, other)?.is_none() {
            links::insert(self.conn, one, other, "related", self.said)?;
            self.audit("patient link", one, &format!("with patient {other}"))?;
        }
        Ok(Ok(()))
    }

    fn unrelate(&mut self, one: PatientKey, other: PatientKey) -> Taken {
        let (one, other) = (self.patient(one)?, self.patient(other)?);
        if let Some((link, since)) = links::related(self.conn, one, other)?
            && since <= self.said.said_at
        {
            links::undo(self.conn, link, self.said.said_at, self.said.at)?;
            self.audit("patient unlink", one, &format!("from patient {other}"))?;
        }
        Ok(Ok(()))
    }
}
