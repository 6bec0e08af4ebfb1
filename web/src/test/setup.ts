import { cleanup, configure } from "@testing-library/react";
import { afterEach, vi } from "vitest";

// A busy machine is slow, not wrong.
configure({ asyncUtilTimeout: 5_000 });

// The code editor measures text, which a DOM without layout cannot.
vi.mock("../ui/code-mirror", async () => {
  const { createElement } = await import("react");
  return {
    CodeMirror: ({
      label,
      value,
      onChange,
    }: {
      label: string;
      value: string;
      onChange: (v: string) => void;
    }) =>
      createElement("textarea", {
        "aria-label": label,
        value,
        onChange: (e: { currentTarget: { value: string } }) => onChange(e.currentTarget.value),
      }),
  };
});

// Growing text areas wait for fonts, which this DOM does not load.
Object.defineProperty(document, "fonts", { value: new EventTarget(), configurable: true });

// As the page's own document is; KaTeX does not work in another.
Object.defineProperty(document, "compatMode", { value: "CSS1Compat", configurable: true });

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});
