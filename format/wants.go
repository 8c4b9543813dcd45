// SPDX-License-Identifier: Apache-2.0

package format

import (
	"fmt"
	"slices"
	"strings"
)

// Wants is what an image has to be for the target not to break a rule, for a
// person: the rule's sentence, with the profile's own words where it has some.
func (p Profile) Wants(rule string) string {
	switch {
	case rule == ruleMediaType.ID && len(p.Formats) > 0:
		return "the image is in format " + strings.ReplaceAll(joinWords(p.Formats), ", ", " or ")
	case rule == ruleCompression.ID && len(p.Compressions) > 0:
		return "layers have compression " + strings.ReplaceAll(joinWords(p.Compressions), ", ", " or ")
	case rule == ruleAttestations.ID && len(p.Attestations) > 0 && !slices.Contains(p.Attestations, AttestationsKeep):
		return "no attestations are in the index"
	case rule == ruleAttestationForm.ID && len(p.AttestationForms) > 0:
		return fmt.Sprintf("attestations in the index are written as %s", joinWords(p.AttestationForms))
	case rule == rulePlatformNeeded.ID && len(p.Platforms) > 0:
		return "there is an image for " + strings.ReplaceAll(strings.Join(p.Platforms, " and for "), "|", " or ")
	case rule == ruleLayerCount.ID:
		return fmt.Sprintf("an image has at most %d layers", p.Limits.Layers)
	case rule == ruleLayerSize.ID:
		return fmt.Sprintf("a layer has at most %d bytes", p.Limits.LayerBytes)
	case rule == ruleImageSize.ID:
		return fmt.Sprintf("the layers of an image have at most %d bytes in all", p.Limits.ImageBytes)
	case rule == ruleDocumentSize.ID:
		return fmt.Sprintf("a manifest or an index has at most %d bytes", p.Limits.DocumentBytes)
	}
	for _, r := range Rules() {
		if r.ID == rule {
			return r.Sentence
		}
	}
	return ""
}
