package realtime

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// Room kinds, see contracts: task, run, flowchart, flowchart_run, thread,
// download_job and rag_source have a number; flowchart_node has a flowchart's
// number and a node's id; studio stands alone.
const maxRoomLength = 200

// knownRoom checks kind and syntax of a room.
func knownRoom(room string, numbered, node *regexp.Regexp) bool {
	return room == "studio" || len(room) <= maxRoomLength && (numbered.MatchString(room) || node.MatchString(room))
}

func roomPatterns() (numbered, node *regexp.Regexp) {
	return regexp.MustCompile(`^(task|run|flowchart|flowchart_run|thread|download_job|rag_source):[1-9][0-9]{0,18}$`),
		regexp.MustCompile(`^flowchart_node:[1-9][0-9]{0,18}/[^\s/\x00-\x1f\x7f]{1,128}$`)
}

// denial is a room that a client does not get, and why.
type denial struct {
	Room   string `json:"room"`
	Reason string `json:"reason"`
}

const (
	reasonUnknownRoom  = "rt.room_unknown"
	reasonTooManyRooms = "rt.too_many_rooms"
)

// authorize sorts the asked rooms into those allowed and those denied.
func (h *Hub) authorize(ctx context.Context, principal any, asked []string) (allowed []string, denied []denial, err error) {
	denied = []denial{}
	for _, room := range asked {
		if !knownRoom(room, h.numbered, h.node) {
			denied = append(denied, denial{Room: clip(room), Reason: reasonUnknownRoom})
			continue
		}
		if cause := h.o.Authorize(ctx, principal, room); cause != nil {
			e := errs.As(cause)
			if e.Code == errs.Internal || e.Code == errs.Unavailable || e.Code == errs.Timeout {
				return nil, nil, cause // no decision was made
			}
			denied = append(denied, denial{Room: room, Reason: e.Reason})
			continue
		}
		allowed = append(allowed, room)
	}
	return allowed, denied, nil
}

// clip keeps a faulty room from coming back at full length.
func clip(room string) string {
	if len(room) > maxRoomLength {
		room = strings.ToValidUTF8(room[:maxRoomLength], "")
	}
	return room
}

// unique removes doubles and keeps the order.
func unique(rooms []string) []string {
	out := make([]string, 0, len(rooms))
	for _, r := range rooms {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
