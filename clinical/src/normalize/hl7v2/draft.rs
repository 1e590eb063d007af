//! A sensor's OBX read, but for what only the whole group tells: which pass of a repeated hour it was.

use super::{codes::SensorCode, obx, rules::Rules, segment::Segment};
use crate::{
    glucose::Glucose,
    normalize::{clock::Moment, repeated_hour::Settled, source_id::source_id},
    reading::{Device, Instant, Reading, Route, Standing},
};

/// A reading but for what the repeated hour leaves open.
pub(super) struct Draft {
    pub(super) device: Device,
    pub(super) moment: Moment,
    glucose: Glucose,
    standing: Standing,
    made_at: Instant,
    identity: Identity,
}

/// What a source identifies a reading by.
enum Identity {
    /// OBX-21.
    Instance(u64),
    /// OBR-3, the code of OBX-3, OBX-4; the time is the fourth part.
    Place([String; 3]),
}

/// Reads a sensor's OBX; `None` where its status never counts. `alone`: it is the only glucose OBX under
/// its OBR. Errs with the first fault, in the order status, value, time.
pub(super) fn draft(
    obx: &Segment<'_>,
    code: &SensorCode,
    obr: Option<&Segment<'_>>,
    alone: bool,
    rules: &Rules<'_>,
) -> Result<Option<Draft>, obx::FieldFault> {
    let Some(standing) = obx::standing(obx.field(11)).map_err(|reason| (11, reason))? else {
        return Ok(None);
    };
    let glucose = match obx::glucose(obx, code) {
        Err(_) if standing == Standing::Retracted => RETRACTED_WITHOUT_VALUE,
        read => read?,
    };
    let time = match (obx.field(14), obr) {
        (own, Some(obr)) if own.is_empty() && alone => rules.observed(obr.field(7)),
        (own, _) => rules.observed(own),
    };
    let moment = time.map_err(|reason| (14, reason))?;
    let identity = identity(obx, code, obr);
    let device = obx::device(obx.field(18));
    Ok(Some(Draft { device, moment, glucose, standing, made_at: rules.made_at(obr), identity }))
}

/// The value of a retraction that states none. It never counts: a retracted reading has no value.
pub(super) const RETRACTED_WITHOUT_VALUE: Glucose = Glucose::mg_dl(0);

fn identity(obx: &Segment<'_>, code: &SensorCode, obr: Option<&Segment<'_>>) -> Identity {
    let instance = obx.field(21);
    if !instance.is_empty() {
        let parts = [1, 2, 3, 4].map(|n| instance.component(n).text());
        return Identity::Instance(source_id("OBX-21", &parts.each_ref().map(|part| part.as_ref())));
    }
    let filler = obr.map_or(String::new(), |obr| obr.field(3).text().into_owned());
    Identity::Place([filler, code.code.clone(), obx.field(4).text().into_owned()])
}

impl Draft {
    /// The reading at the instant that was settled.
    pub(super) fn settled(self, Settled { stamp, ambiguous }: Settled, message: u64) -> (Device, Reading) {
        let identity = match &self.identity {
            Identity::Instance(id) => *id,
            Identity::Place([filler, code, sub]) => {
                source_id("OBR-3", &[filler, code, sub, &stamp.time.0.to_string()])
            }
        };
        let reading = Reading {
            time: stamp.time,
            offset_minutes: Some(stamp.offset_minutes),
            tz_ambiguous: ambiguous,
            glucose: self.glucose,
            standing: self.standing,
            route: Route::Hl7v2,
            identity,
            made_at: self.made_at,
            message,
        };
        (self.device, reading)
    }
}
