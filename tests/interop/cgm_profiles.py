"""What the profiles of the HL7 CGM guide 1.0.0 demand, as differential StructureDefinitions: codes, units, cardinality.
The guide's own package is on no registry that a test may ask; this states the same demands, in the guide's names."""

BASE = "http://hl7.org/fhir/uv/cgm/StructureDefinition/"
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"


def pattern(code):
    return {"coding": [{"system": LOINC, "code": code}]}


def unit(code, text):
    return {"system": UCUM, "code": code, "unit": text}


MASS, MOLAR = unit("mg/dL", "mg/dl"), unit("mmol/L", "mmol/l")
PERCENT, DAYS = unit("%", "%"), unit("d", "days")

# Profile, code, unit, least number of values; the period is 1..1 in all.
SUMMARIES = [
    ("cgm-summary-mean-glucose-mass-per-volume", "97507-8", MASS, 0),
    ("cgm-summary-mean-glucose-moles-per-volume", "105273-7", MOLAR, 0),
    ("cgm-summary-gmi", "97506-0", PERCENT, 1),
    ("cgm-summary-coefficient-of-variation", "104638-2", PERCENT, 1),
    ("cgm-summary-days-of-wear", "104636-6", DAYS, 1),
    ("cgm-summary-sensor-active-percentage", "104637-4", PERCENT, 1),
]
READINGS = [
    ("cgm-sensor-reading-mass-per-volume", "99504-3", MASS),
    ("cgm-sensor-reading-moles-per-volume", "105272-9", MOLAR),
]
RANGES = [
    ("timeInVeryLow", "104642-4"),
    ("timeInLow", "104641-6"),
    ("timeInTarget", "97510-2"),
    ("timeInHigh", "104640-8"),
    ("timeInVeryHigh", "104639-0"),
]
# Slice of hasMember, the profile of its target.
MEMBERS = [
    ("timesInRanges", "cgm-summary-times-in-ranges"),
    ("gmi", "cgm-summary-gmi"),
    ("cv", "cgm-summary-coefficient-of-variation"),
    ("daysOfWear", "cgm-summary-days-of-wear"),
    ("sensorActivePercentage", "cgm-summary-sensor-active-percentage"),
]


def element(path, least=None, most=None, name=None, **more):
    made = {"id": path if name is None else f"{path}:{name}", "path": path}
    if name is not None:
        made["sliceName"] = name
    if least is not None:
        made["min"] = least
    if most is not None:
        made["max"] = most
    return {**made, **more}


def profile(name, kind, elements):
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": BASE + name,
        "name": "".join(part.capitalize() for part in name.split("-")),
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "resource",
        "abstract": False,
        "type": kind,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{kind}",
        "derivation": "constraint",
        "differential": {"element": [element(kind)] + elements},
    }


def period(kind):
    return [
        element(f"{kind}.effective[x]", 1, "1", type=[{"code": "Period"}]),
        element(f"{kind}.effective[x].start", 1, "1"),
        element(f"{kind}.effective[x].end", 1, "1"),
    ]


def slicing(kind, path, **more):
    return {"slicing": {"discriminator": [{"type": kind, "path": path}], "rules": "open"}, **more}


def observation(name, code, elements):
    code_element = element("Observation.code", patternCodeableConcept=pattern(code))
    subject = element("Observation.subject", 1, "1")
    return profile(name, "Observation", [code_element, subject] + elements)


def value(least, quantity):
    return element("Observation.value[x]", least, "1", type=[{"code": "Quantity"}], patternQuantity=quantity)


def ranges():
    elements = period("Observation") + [element("Observation.component", 5, "*", **slicing("value", "code"))]
    for name, code in RANGES:
        inside = f"Observation.component:{name}"
        elements += [
            element("Observation.component", 1, "1", name),
            {"id": f"{inside}.code", "path": "Observation.component.code", "patternCodeableConcept": pattern(code)},
            {
                "id": f"{inside}.value[x]",
                "path": "Observation.component.value[x]",
                "min": 1,
                "max": "1",
                "type": [{"code": "Quantity"}],
                "patternQuantity": PERCENT,
            },
        ]
    return observation("cgm-summary-times-in-ranges", "106793-3", elements)


def panel(resolving):
    """`resolving`: with the slices of hasMember, which are told apart by what the references lead to."""
    members = slicing("value", "resolve().code") if resolving else {}
    elements = period("Observation") + [element("Observation.hasMember", 6, "*", **members)]
    for name, target in MEMBERS if resolving else []:
        reference = [{"code": "Reference", "targetProfile": [BASE + target]}]
        elements.append(element("Observation.hasMember", 1, "1", name, type=reference))
    return observation("cgm-summary", "107931-8", elements)


def report():
    forms = "DiagnosticReport.presentedForm"
    return profile(
        "cgm-summary-pdf",
        "DiagnosticReport",
        [
            element("DiagnosticReport.code", patternCodeableConcept=pattern("107931-8")),
            element("DiagnosticReport.subject", 1, "1"),
            *period("DiagnosticReport"),
            element(forms, 1, "*", **slicing("value", "contentType")),
            element(forms, 1, "*", "cgmSummaryPDF"),
            {"id": f"{forms}:cgmSummaryPDF.contentType", "path": f"{forms}.contentType", "min": 1,
             "patternCode": "application/pdf"},
            {"id": f"{forms}:cgmSummaryPDF.data", "path": f"{forms}.data", "min": 1, "max": "1"},
        ],
    )


def reading(name, code, quantity):
    stated = {
        "key": "cgm-sensor-value-or-dar",
        "severity": "error",
        "human": "A reading has a value or a reason for having none.",
        "expression": "value.exists() or dataAbsentReason.exists()",
    }
    made = observation(
        name,
        code,
        [element("Observation.effective[x]", 1, "1", type=[{"code": "dateTime"}]), value(0, quantity)],
    )
    made["differential"]["element"][0]["constraint"] = [stated]
    return made


COUNTS = ["version", "readings-counted", "readings-mg-dl", "readings-mmol-l", "readings-re-expressed",
          "readings-censored-low", "readings-censored-high", "readings-low-level-unknown", "readings-time-ambiguous",
          "gaps-long", "gaps-longest-minutes", "device-sessions"]
# The parts of our extensions: name and type of value, or the parts within.
ACCOUNT = {
    **{name: "unsignedInt" for name in COUNTS},
    "policy": "string",
    "zone": "string",
    "software": "string",
    "conversion-factor": "decimal",
    "insufficient": "code",
    "supersedes": "Identifier",
    "excluded": {"reason": "code", "count": "unsignedInt"},
    "device-session": {"device": "Identifier", "interval-minutes": "unsignedInt", "count": "unsignedInt",
                       "first": "instant", "last": "instant"},
}
MANIFEST = {"count": "unsignedInt", "sha256": "string", "hmac-sha256": "string"}


def parts(of, at="Extension", path="Extension"):
    elements = []
    for name, kind in of.items():
        inside, line = f"{at}.extension:{name}", f"{path}.extension"
        elements.append({"id": inside, "path": line, "sliceName": name, "min": 0, "max": "*"})
        if isinstance(kind, dict):
            elements += parts(kind, inside, line)
        elements.append({"id": f"{inside}.url", "path": f"{line}.url", "fixedUri": name})
        value = {"id": f"{inside}.value[x]", "path": f"{line}.value[x]"}
        elements.append({**value, **({"max": "0"} if isinstance(kind, dict) else {"type": [{"code": kind}]})})
    return elements


def extension(url, contexts, of):
    """Ours: these parts, and no value of its own."""
    ends = [element("Extension.url", fixedUri=url), element("Extension.value[x]", 0, "0")]
    made = profile(url.rsplit(":", 1)[1], "Extension", parts(of) + ends)
    made["url"], made["kind"] = url, "complex-type"
    made["context"] = [{"type": "element", "expression": at} for at in contexts]
    return made


def profiles(resolving=True):
    """All of them, those that others refer to first."""
    summaries = [observation(n, c, period("Observation") + [value(least, u)]) for n, c, u, least in SUMMARIES]
    ours = [
        extension("urn:isthmus:StructureDefinition:outcome-account", ["Provenance"], ACCOUNT),
        extension("urn:isthmus:StructureDefinition:manifest", ["Provenance.entity"], MANIFEST),
    ]
    return ours + summaries + [ranges(), panel(resolving), report()] + [reading(*row) for row in READINGS]


if __name__ == "__main__":
    import json

    print(json.dumps(profiles()))
