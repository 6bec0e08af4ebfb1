package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
)

// MaxPrefix bounds what stands before each text that is embedded, in bytes: it is paid for with every one.
const MaxPrefix = 500

// EmbeddingConfig is what the config of an embedding model may say of how it is asked.
type EmbeddingConfig struct {
	QueryPrefix    string `json:"query_prefix"`    // before each question
	DocumentPrefix string `json:"document_prefix"` // before each text that is searched
}

// EmbeddingConfigOf reads it of a model's config.
func EmbeddingConfigOf(config json.RawMessage) (EmbeddingConfig, error) {
	var c EmbeddingConfig
	if len(config) == 0 {
		return c, nil
	}
	err := json.Unmarshal(config, &c)
	return c, err
}

// checkConfig refuses prefixes that cannot be used: invalid, model.invalid_config. What else is in a config is for those who use it.
func checkConfig(config json.RawMessage) error {
	var given map[string]any
	if len(config) == 0 || json.Unmarshal(config, &given) != nil {
		return nil //nolint:nilerr // not an object; the API accepts no other
	}
	var faults []errs.Detail
	for _, name := range []string{"query_prefix", "document_prefix"} {
		v, there := given[name]
		if !there {
			continue
		}
		text, ok := v.(string)
		message := ""
		switch {
		case !ok:
			message = fmt.Sprintf("is %v; a text is accepted", v)
		case len(text) > MaxPrefix:
			message = fmt.Sprintf("has %d bytes; at most %d are accepted", len(text), MaxPrefix)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			message = "is no UTF-8 text, or has a zero byte"
		}
		if message != "" {
			faults = append(faults, errs.Detail{Location: "body.config." + name, Message: message})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "model.invalid_config", "The settings of the model cannot be used.", faults...)
}
