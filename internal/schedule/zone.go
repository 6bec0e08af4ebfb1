package schedule

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // machines without the database of time zones know them all the same

	"github.com/llmctl/studio/internal/errs"
)

const maxZone = 64

// ParseZone gives a time zone by its IANA name. Error: invalid
// (schedule.invalid_time_zone).
func ParseZone(name string) (*time.Location, error) {
	fail := func(format string, args ...any) error {
		return errs.E(errs.Invalid, "schedule.invalid_time_zone", "The time zone cannot be used.",
			errs.Detail{Location: "body.time_zone", Message: fmt.Sprintf(format, args...)})
	}
	const accepted = "accepted are names of the IANA database, such as Europe/Berlin or UTC"
	if len(name) > maxZone {
		return nil, fail("has %d characters; %s", len(name), accepted)
	}
	// Go takes "" for UTC and Local for the machine's, which no two need to share; right/ counts leap seconds.
	if name == "" || name == "Local" || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix/") {
		return nil, fail("is %q; %s", name, accepted)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fail("is %q, which is not known; %s", name, accepted)
	}
	return zone, nil
}
