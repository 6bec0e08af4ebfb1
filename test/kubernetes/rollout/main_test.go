package rollout

import (
	"os"
	"testing"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }
