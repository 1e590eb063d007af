// Reads a line of JSON for each resource ({"resource": ...}), prints one with what HAPI's validator finds in it, with the
// profiles of the CGM guide (the JSON array in the file that the first argument names). R4 alone; nothing is fetched:
// codes of LOINC and of our own system are not looked up.

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.StructureDefinition;

public class Judge {
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        FhirContext context = FhirContext.forR4();
        IParser parser = context.newJsonParser();
        PrePopulatedValidationSupport guide = new PrePopulatedValidationSupport(context);
        for (JsonNode profile : mapper.readTree(Files.readString(Path.of(args[0])))) {
            guide.addStructureDefinition(parser.parseResource(StructureDefinition.class, profile.toString()));
        }
        UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
        FhirInstanceValidator instance = new FhirInstanceValidator(new ValidationSupportChain(
            new DefaultProfileValidationSupport(context),
            guide,
            new InMemoryTerminologyServerValidationSupport(context),
            new CommonCodeSystemsTerminologyService(context),
            new SnapshotGeneratingValidationSupport(context),
            unknown));
        FhirValidator validator = context.newValidator().registerValidatorModule(instance);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String resource = mapper.readTree(line).get("resource").toString();
            ObjectNode told = mapper.createObjectNode();
            ArrayNode errors = told.putArray("errors");
            for (SingleValidationMessage message : validator.validateWithResult(resource).getMessages()) {
                if (message.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal()) {
                    errors.add(message.getLocationString() + ": " + message.getMessageId() + ": " + message.getMessage());
                }
            }
            System.out.println(told);
        }
    }
}
