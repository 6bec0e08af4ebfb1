// Command testpod stands in for the executor in tests of the dispatcher: it reports
// its start and its result, and between them misbehaves as its payload says.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// config is what the node of a test asks for.
type config struct {
	Say    []string `json:"say"`     // lines on standard output
	Output int      `json:"output"`  // bytes of the result
	Memory int      `json:"memory"`  // MiB to fill
	Hang   bool     `json:"hang"`    // run until it is ended
	Ignore bool     `json:"ignore"`  // SIGTERM too
	Exit   int      `json:"exit"`    // end with this code and without a result
	NoHi   bool     `json:"no_hi"`   // do not report the start
	WaitMS int      `json:"wait_ms"` // before the result
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if os.Getenv("LLMCTL_EXECUTOR_API_URL") == "" {
		return nil // by hand, for a comparison
	}
	var payload struct {
		Config config `json:"config"`
	}
	raw, err := call(http.MethodGet, "payload", nil)
	if err == nil {
		err = json.Unmarshal(raw, &payload)
	}
	if err != nil {
		return err
	}
	c := payload.Config
	if c.Ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	if !c.NoHi {
		if _, err := call(http.MethodPost, "events", []any{map[string]any{"v": "v1", "n": 1, "type": "started"}}); err != nil {
			return err
		}
	}
	for _, line := range c.Say {
		fmt.Fprintln(os.Stdout, line)
	}
	if c.Memory > 0 {
		hold := make([]byte, c.Memory<<20)
		for i := range hold {
			hold[i] = byte(i)
		}
		fmt.Fprintln(os.Stdout, "filled", len(hold))
	}
	if c.Hang || c.NoHi {
		select {}
	}
	if c.Exit != 0 {
		os.Exit(c.Exit)
	}
	time.Sleep(time.Duration(c.WaitMS) * time.Millisecond)
	return result(c.Output)
}

func result(size int) error {
	output, err := json.Marshal(map[string]string{"text": strings.Repeat("x", size), "secret": secret()})
	if err != nil {
		return err
	}
	_, err = call(http.MethodPost, "events", []any{map[string]any{
		"v": "v1", "n": 2, "type": "result", "result": map[string]any{"status": "succeeded", "output_state": json.RawMessage(output)},
	}})
	return err
}

// secret is the node's one secret, as the pod is given it.
func secret() string {
	raw, err := os.ReadFile(os.Getenv("LLMCTL_EXECUTOR_SECRETS_DIR") + "/api_key")
	if err != nil {
		return ""
	}
	return string(raw)
}

// call asks the API until it answers; a refusal is an error.
func call(method, path string, body any) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for {
		req, err := http.NewRequest(method, os.Getenv("LLMCTL_EXECUTOR_API_URL")+"/executor/v1/"+path, bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+os.Getenv("LLMCTL_EXECUTOR_TOKEN"))
		req.Header.Set("X-Pod-Uid", os.Getenv("LLMCTL_EXECUTOR_POD_UID"))
		res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && res.StatusCode/100 == 2 {
			return answer, nil
		}
		return nil, fmt.Errorf("%s %s: %s %s", method, path, res.Status, answer)
	}
}
