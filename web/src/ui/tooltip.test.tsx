import { act, fireEvent, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { show } from "../test/render";
import { Tooltip } from "./tooltip";

it("shows what it says beside what is pointed at, and calls the child's own handlers", async () => {
  const entered = vi.fn();
  await show(
    <Tooltip label="Copies it" openDelay={0}>
      <button type="button" onMouseEnter={entered}>
        copy
      </button>
    </Tooltip>,
  );
  const button = screen.getByRole("button", { name: "copy" });
  fireEvent.mouseEnter(button);
  expect(entered).toHaveBeenCalled();
  expect(await screen.findByText("Copies it")).toBeTruthy();
  expect(screen.getByRole("button", { name: "copy" })).toBe(button);
  fireEvent.mouseLeave(button);
  expect(screen.queryByText("Copies it")).toBeNull();
});

it("shows nothing where it is disabled, nor to a pointer that only passes", async () => {
  vi.useFakeTimers();
  try {
    await act(() =>
      show(
        <>
          <Tooltip label="one" disabled>
            <i>1</i>
          </Tooltip>
          <Tooltip label="two">
            <i>2</i>
          </Tooltip>
        </>,
      ),
    );
    fireEvent.mouseEnter(screen.getByText("1"));
    fireEvent.mouseEnter(screen.getByText("2"));
    act(() => vi.advanceTimersByTime(200));
    fireEvent.mouseLeave(screen.getByText("2"));
    act(() => vi.advanceTimersByTime(2_000));
    expect(screen.queryByText(/one|two/)).toBeNull();
  } finally {
    vi.useRealTimers();
  }
});
