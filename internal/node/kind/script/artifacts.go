package script

import (
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/executor"
)

// ArtifactsEnv names the folder whose files are kept as artifacts of the attempt.
const ArtifactsEnv = "LLMCTL_ARTIFACTS"

const artifactsFolder = "artifacts"

// collect adds what the command left in its folder for artifacts. A command that
// succeeded fails if that cannot be kept: silence would lose files.
func (h *Handler) collect(res executor.Result, stages *executor.Stages) executor.Result {
	found, err := executor.CollectArtifacts(h.o.Workspace, artifactsFolder)
	if err != nil {
		found.Refused = "The artifacts cannot be read: " + err.Error() + "."
	}
	if len(found.Skipped) > 0 {
		_ = stages.Log(fmt.Sprintf("Not kept, for they are not files: %s.", few(found.Skipped))) // a broken sink ends the attempt anyway
	}
	if found.Refused == "" {
		res.Artifacts = found.Artifacts
		return res
	}
	if res.Error != nil {
		_ = stages.Log(found.Refused) // the command's own failure is the one to report
		return res
	}
	fail := executor.Failure(executor.CodeArtifacts, found.Refused, false)
	fail.OutputState = res.OutputState
	return fail
}

// few names the first of many.
func few(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
