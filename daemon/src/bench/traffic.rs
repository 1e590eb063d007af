//! The messages of the benchmark: ORU^R01 of one size, each with a control id of its own.
//!
//! Numbers: [`MESSAGE_BYTES`] each, the size that the figures elsewhere were measured with; what the content
//! leaves free is a comment that no packer shortens, so that a store that packs gets no more than real messages would
//! give it. Everybody in them is made up.

use std::io::Write as _;

use jiff::Timestamp;

/// Size of every message, frame bytes not counted.
pub const MESSAGE_BYTES: usize = 1_362;
/// Patients in all; each belongs to one connection, so that its readings arrive in order.
const PATIENTS: u64 = 512;
/// Between two readings of a sensor.
const STEP_S: i64 = 300;
/// The first reading: 2026-01-01T00:00:00Z.
const FIRST_READING_S: i64 = 1_767_225_600;

/// What the messages hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Laboratory results: stored and acknowledged; the pipeline finds nothing to compute.
    Other,
    /// One reading of a glucose sensor each, of many patients, in order: the pipeline works meanwhile.
    Cgm,
}

/// The messages of one connection, one after the other.
pub struct Stream {
    kind: Kind,
    /// Makes control ids unique among the points and connections of one target.
    prefix: String,
    connection: u64,
    connections: u64,
    /// Patients in all.
    people: u64,
    first_step: u64,
    sent: u64,
    control_id: String,
    frame: Vec<u8>,
}

impl Stream {
    /// The messages of connection `connection` (from 0) of `connections` at point `point` of a target whose
    /// patients are at their `first_step`-th reading.
    pub fn new(kind: Kind, point: usize, connection: u16, connections: u16, first_step: u64) -> Self {
        Self {
            kind,
            prefix: format!("B{point:03}{connection:04}"),
            connection: u64::from(connection),
            connections: u64::from(connections.max(1)),
            people: PATIENTS,
            first_step,
            sent: 0,
            control_id: String::new(),
            frame: Vec::with_capacity(MESSAGE_BYTES + 3),
        }
    }

    /// The messages of connection `connection` (from 0) of `connections`, for so many patients in all.
    pub fn of_patients(kind: Kind, people: u64, connection: u16, connections: u16) -> Self {
        Self { people, ..Self::new(kind, 0, connection, connections, 0) }
    }

    /// MSH-10 of the message last made.
    pub fn control_id(&self) -> &str {
        &self.control_id
    }

    /// The step at which the next point may begin without repeating a reading.
    pub fn next_step(&self) -> u64 {
        self.first_step + self.sent / self.patients() + 1
    }

    fn patients(&self) -> u64 {
        (self.people.saturating_sub(self.connection)).div_ceil(self.connections).max(1)
    }

    /// Makes the next message and returns it in its frame.
    pub fn frame(&mut self) -> &[u8] {
        let patient = self.connection + self.connections * (self.sent % self.patients());
        let step = self.first_step + self.sent / self.patients();
        self.control_id = format!("{}{:010}", self.prefix, self.sent);
        self.sent += 1;
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.push(mllp::frame::VT);
        // Writing to a Vec cannot fail.
        let _written = self.write(&mut frame, patient, step);
        let free = MESSAGE_BYTES.saturating_sub(frame.len());
        frame.extend(noise(self.sent ^ self.connection << 32).take(free));
        frame.extend_from_slice(&[mllp::frame::CR, mllp::frame::FS, mllp::frame::CR]);
        self.frame = frame;
        &self.frame
    }

    fn write(&self, out: &mut Vec<u8>, patient: u64, step: u64) -> std::io::Result<()> {
        let at = FIRST_READING_S + STEP_S * step as i64;
        let stamp = Timestamp::from_second(at)
            .map(|at| at.strftime("%Y%m%d%H%M%S+0000").to_string())
            .unwrap_or_default();
        let id = &self.control_id;
        write!(
            out,
            "MSH|^~\\&|ENGINE|NORTH|ISTHMUS|NORTH|{stamp}||ORU^R01^ORU_R01|{id}|P|2.5.1||||||UNICODE UTF-8\r\
             PID|1||9{patient:06}^^^NORTH^MR||Example^Ada||19700101|F|||1 Alder Road^^Northfield^^00012||\
             (201)555-0123\rPV1|1|O|CLINIC^^^NORTH||||1234567890^Example^Otto|||||||||||V{patient:06}\r"
        )?;
        match self.kind {
            Kind::Cgm => {
                let value = 70 + (step * 7 + patient * 13) % 180;
                write!(
                    out,
                    "OBR|1||{id}^ENGINE|99504-3^Glucose [Mass/volume] in Interstitial fluid^LN|||{stamp}|{stamp}\
                     |||||||||||||||||F\r\
                     OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN|1|{value}|mg/dL^mg/dL^UCUM|||||F\
                     |||{stamp}||||SM{patient:08}\r"
                )?;
            }
            Kind::Other => {
                write!(
                    out,
                    "OBR|1||{id}^ENGINE|24326-1^Electrolytes 1998 panel^LN|||{stamp}|||||||||||||||||||F\r"
                )?;
                for (place, (code, name, value)) in RESULTS.iter().enumerate() {
                    write!(
                        out,
                        "OBX|{}|NM|{code}^{name}^LN|1|{value}|mmol/L^mmol/L^UCUM||N|||F|||{stamp}\r",
                        place + 1
                    )?;
                }
            }
        }
        write!(out, "NTE|1||")
    }
}

/// Letters and digits without a pattern: xorshift64* (Vigna, 2016), six bits a letter.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
    .flat_map(|word| (0..10).map(move |at| LETTERS[(word >> (4 + 6 * at)) as usize % 64]))
}

/// LOINC code, name and value of the laboratory results.
const RESULTS: [(&str, &str, u32); 7] = [
    ("2951-2", "Sodium", 140),
    ("2823-3", "Potassium", 4),
    ("2075-0", "Chloride", 101),
    ("2028-9", "Carbon dioxide", 25),
    ("22664-7", "Urea", 5),
    ("2000-8", "Calcium", 2),
    ("24519-1", "Phosphate", 1),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mllp::envelope::Envelope;

    use super::*;

    #[test]
    fn every_message_has_the_size_promised_and_a_control_id_of_its_own() {
        for kind in [Kind::Other, Kind::Cgm] {
            let mut seen = HashSet::new();
            for (point, connection) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mut stream = Stream::new(kind, point, connection, 2, 7);
                for _ in 0..300 {
                    let frame = stream.frame().to_vec();
                    assert_eq!(frame.len(), MESSAGE_BYTES + 3);
                    let envelope = Envelope::scan(&frame[1..frame.len() - 2].to_vec().into()).unwrap();
                    assert_eq!(envelope.control_id(), stream.control_id().as_bytes());
                    assert!(seen.insert(stream.control_id().to_owned()));
                }
            }
        }
    }

    #[test]
    fn a_patient_is_one_connections_own_and_its_readings_ascend_over_all_points() {
        let field = |frame: &[u8], segment: &str, number: usize| {
            let text = String::from_utf8(frame.to_vec()).unwrap();
            let line = text.split('\r').find(|line| line.starts_with(segment)).unwrap().to_owned();
            line.split('|').nth(number).unwrap().to_owned()
        };
        let (mut owners, mut last) = (std::collections::HashMap::new(), std::collections::HashMap::new());
        let mut first_step = 0;
        for point in 0..2 {
            let mut next = first_step;
            for connection in 0..3 {
                let mut stream = Stream::new(Kind::Cgm, point, connection, 3, first_step);
                for _ in 0..500 {
                    let frame = stream.frame().to_vec();
                    let (patient, at) = (field(&frame, "PID", 3), field(&frame, "OBX", 14));
                    assert_eq!(*owners.entry(patient.clone()).or_insert(connection), connection);
                    assert!(last.insert(patient, at.clone()).is_none_or(|before: String| before < at));
                }
                next = next.max(stream.next_step());
            }
            first_step = next;
        }
    }
}
