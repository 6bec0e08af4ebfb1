package httpcall

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// statusSet is which statuses count as success: a number, a text such as "200,
// 3xx", or a list of them. Empty means any 2xx.
type statusSet []string

// UnmarshalJSON accepts the three forms.
func (s *statusSet) UnmarshalJSON(data []byte) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	*s = nil
	for _, item := range items {
		switch item := item.(type) {
		case nil:
		case float64:
			*s = append(*s, strconv.Itoa(int(item)))
		case string:
			for word := range strings.SplitSeq(item, ",") {
				if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
					*s = append(*s, word)
				}
			}
		default:
			return errors.New("expect_status has an entry that is neither number nor text")
		}
	}
	for _, word := range *s {
		if len(word) != 3 || strings.Trim(word, "0123456789x") != "" {
			return fmt.Errorf("expect_status %q is not a status such as 200 or 2xx", word)
		}
	}
	return nil
}

func (s statusSet) accepts(status int) bool {
	if len(s) == 0 {
		return status >= 200 && status < 300
	}
	text := strconv.Itoa(status)
	for _, word := range s {
		if matches(word, text) {
			return true
		}
	}
	return false
}

func matches(pattern, text string) bool {
	for i := range len(pattern) {
		if i >= len(text) || (pattern[i] != 'x' && pattern[i] != text[i]) {
			return false
		}
	}
	return true
}

// String is for messages.
func (s statusSet) String() string {
	if len(s) == 0 {
		return "2xx"
	}
	return strings.Join(s, ", ")
}
