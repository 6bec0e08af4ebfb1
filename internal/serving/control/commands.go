package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// command is one thing that can be asked for.
type command struct {
	name    string // "show", or "worker add"
	args    string // for help: "[N]"
	help    string
	changes bool // it does something, rather than only show
	maxArgs int
	run     func(a *answers, ctx context.Context, args []string) (any, error)
}

// commands lists all of them. The words for those that Gunicorn has are its own,
// since tools may look for them.
func commands() []command {
	return []command{
		{name: "show all", help: "Show all processes (arbiter, web workers, dirty workers)", run: (*answers).showAll},
		{name: "show workers", help: "List HTTP workers with their status", run: (*answers).showWorkers},
		{name: "show dirty", help: "List dirty workers and apps (there are none)", run: (*answers).showDirty},
		{name: "show config", help: "Show current effective configuration", run: (*answers).showConfig},
		{name: "show stats", help: "Show server statistics", run: (*answers).showStats},
		{name: "show listeners", help: "Show bound sockets", run: (*answers).showListeners},
		{name: "show connections", help: "Show the connections of each worker", run: (*answers).showConnections},
		{name: "show streams", help: "Show rooms and event streams of each worker", run: (*answers).showStreams},
		{name: "worker add", args: "[N]", maxArgs: 1, changes: true, help: "Spawn N workers (default 1)", run: (*answers).workerAdd},
		{name: "worker remove", args: "[N]", maxArgs: 1, changes: true, help: "Remove N workers (default 1)", run: (*answers).workerRemove},
		{name: "worker kill", args: "<PID>", maxArgs: 1, changes: true, help: "Gracefully terminate specific worker", run: (*answers).workerKill},
		{name: "dirty add", args: "[N]", maxArgs: 1, changes: true, help: "Spawn N dirty workers (there are none)", run: (*answers).dirty},
		{name: "dirty remove", args: "[N]", maxArgs: 1, changes: true, help: "Remove N dirty workers (there are none)", run: (*answers).dirty},
		{name: "reload", changes: true, help: "Graceful reload (HUP)", run: (*answers).reload},
		{name: "reopen", changes: true, help: "Reopen log files (USR1)", run: (*answers).reopen},
		{name: "drain", changes: true, help: "Accept nothing more, let all work end, then stop", run: (*answers).drain},
		{name: "shutdown", args: "[graceful|quick]", maxArgs: 1, changes: true, help: "Shutdown server (TERM/INT)", run: (*answers).shutdown},
		{name: "help", help: "Show this help message", run: (*answers).help},
	}
}

// errEmpty is a request without a command.
var errEmpty = errors.New("Empty command") //nolint:staticcheck // the client's user reads Gunicorn's words

// invalid is an argument that cannot be used.
func invalid(format string, args ...any) error {
	return errs.Ef(errs.Invalid, "control.argument", format, args...)
}

// find gives the command that words name, and its arguments.
func find(words []string) (command, []string, error) {
	all := commands()
	first := strings.ToLower(words[0])
	var seconds []string
	for _, c := range all {
		verb, object, pair := strings.Cut(c.name, " ")
		switch {
		case verb != first:
		case !pair:
			return checked(c, words[1:])
		case len(words) > 1 && strings.ToLower(words[1]) == object:
			return checked(c, words[2:])
		default:
			seconds = append(seconds, object)
		}
	}
	if seconds == nil {
		return command{}, nil, unknown("Unknown command: "+show(first), first, firsts(all))
	}
	kind := "action"
	if first == "show" {
		kind = "show target"
	}
	if len(words) == 1 {
		if kind == "action" {
			kind = first + " action"
		}
		return command{}, nil, invalid("Missing %s (%s)", kind, strings.Join(seconds, "|"))
	}
	if kind == "action" {
		kind = first + " action"
	}
	second := strings.ToLower(words[1])
	return command{}, nil, unknown("Unknown "+kind+": "+show(second)+" ("+strings.Join(seconds, "|")+")", second, seconds)
}

func checked(c command, args []string) (command, []string, error) {
	if len(args) > c.maxArgs {
		takes := "no argument"
		if c.maxArgs > 0 {
			takes = "at most one argument"
		}
		return c, nil, invalid("%s takes %s; got %s", c.name, takes, show(joinWords(args)))
	}
	return c, args, nil
}

func firsts(all []command) []string {
	var out []string
	for _, c := range all {
		verb, _, _ := strings.Cut(c.name, " ")
		if !slices.Contains(out, verb) {
			out = append(out, verb)
		}
	}
	return out
}

func unknown(message, word string, candidates []string) error {
	if n := nearest(word, candidates); n != "" {
		return invalid("%s. Did you mean %s?", message, n)
	}
	return invalid("%s. Try help", message)
}

// show makes a client's word fit for a message.
func show(word string) string {
	const most = 80
	word = strings.ToValidUTF8(word, "?")
	if runes := []rune(word); len(runes) > most {
		word = string(runes[:most]) + "…"
	}
	if quoted := strconv.Quote(word); quoted != `"`+word+`"` {
		return quoted
	}
	return word
}

// maxCount limits one change of the number of workers.
const maxCount = 1024

// count reads the optional number of "worker add" and the like.
func count(name string, args []string) (int, error) {
	if len(args) == 0 {
		return 1, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 || n > maxCount {
		return 0, invalid("%s takes a whole number from 1 to %d; got %s", name, maxCount, show(args[0]))
	}
	return n, nil
}

// message is what a client is told of an error, in Gunicorn's form.
func message(err error) string {
	if errors.Is(err, errEmpty) || errors.Is(err, errNoMessage) {
		return err.Error()
	}
	e, ok := errors.AsType[*errs.Error](err)
	switch {
	case ok && e.Code == errs.Invalid:
		return "Invalid argument: " + e.Message
	case ok:
		return "Command failed: " + e.Message
	default:
		return fmt.Sprintf("Command failed: %v", err)
	}
}
