import type { FloatingPosition } from "@mantine/core";
import {
  cloneElement,
  type FocusEvent,
  lazy,
  type MouseEvent,
  type ReactElement,
  type ReactNode,
  Suspense,
  useEffect,
  useRef,
  useState,
} from "react";

// What places it is some 15 kB, which no page needs before something is pointed at.
const Floating = lazy(async () => ({ default: (await import("./floating-tooltip")).FloatingTooltip }));

const openAfter = 350;

interface Shown {
  onMouseEnter?: (e: MouseEvent<HTMLElement>) => void;
  onMouseLeave?: (e: MouseEvent<HTMLElement>) => void;
  onFocus?: (e: FocusEvent<HTMLElement>) => void;
  onBlur?: (e: FocusEvent<HTMLElement>) => void;
}

interface Props {
  label: ReactNode;
  position?: FloatingPosition;
  /** Milliseconds. */
  openDelay?: number;
  disabled?: boolean;
  children: ReactElement<Shown>;
}

/** A tooltip for what every page shows; shown also to those who come by keyboard. The child takes its handlers. */
export function Tooltip({
  label,
  position = "top",
  openDelay = openAfter,
  disabled = false,
  children,
}: Props) {
  const [target, setTarget] = useState<HTMLElement | null>(null);
  const timer = useRef<number | undefined>(undefined);
  const hide = () => {
    window.clearTimeout(timer.current);
    setTarget(null);
  };
  const show = (element: HTMLElement) => {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setTarget(element), openDelay);
  };
  useEffect(() => () => window.clearTimeout(timer.current), []);
  if (disabled) return children;
  const { props } = children;
  return (
    <>
      {cloneElement(children, {
        onMouseEnter: (e) => {
          props.onMouseEnter?.(e);
          show(e.currentTarget);
        },
        onMouseLeave: (e) => {
          props.onMouseLeave?.(e);
          hide();
        },
        onFocus: (e) => {
          props.onFocus?.(e);
          if (e.currentTarget.matches(":focus-visible")) show(e.currentTarget);
        },
        onBlur: (e) => {
          props.onBlur?.(e);
          hide();
        },
      })}
      {target && (
        <Suspense>
          <Floating opened target={target} label={label} position={position} />
        </Suspense>
      )}
    </>
  );
}
