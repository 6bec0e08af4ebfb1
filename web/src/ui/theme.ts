import {
  type CSSVariablesResolver,
  createTheme,
  defaultVariantColorsResolver,
  type MantineColorsTuple,
} from "@mantine/core";

const accent: MantineColorsTuple = [
  "#fff1e5",
  "#ffdfc8",
  "#ffbf93",
  "#ff9d5b",
  "#ff8f3d",
  "#ff7a18",
  "#d95f02",
  "#b85000",
  "#943f00",
  "#6f2f00",
];

// The library takes its dark surfaces from this scale: 4 lines, 5 hover, 6 raised, 7 page.
const dark: MantineColorsTuple = [
  "#e6edf3",
  "#b9c5d1",
  "#8b9bac",
  "#66778a",
  "#263140",
  "#1d2a38",
  "#131c26",
  "#0b0f14",
  "#090c10",
  "#06080b",
];

export const theme = createTheme({
  primaryColor: "accent",
  variantColorResolver: (input) => {
    const resolved = defaultVariantColorsResolver(input);
    // Orange is light in one scheme and dark in the other: so is what can be read on it.
    const onAccent = input.variant === "filled" && (input.color ?? input.theme.primaryColor) === "accent";
    return onAccent ? { ...resolved, color: "var(--st-on-accent)" } : resolved;
  },
  primaryShade: { light: 7, dark: 5 },
  colors: { accent, dark },
  fontFamily: "var(--st-font)",
  fontFamilyMonospace: "var(--st-mono)",
  defaultRadius: 6,
  cursorType: "pointer",
  respectReducedMotion: true,
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  spacing: { xs: "8px", sm: "12px", md: "16px", lg: "24px", xl: "32px" },
  headings: {
    fontWeight: "600",
    sizes: { h1: { fontSize: "20px" }, h2: { fontSize: "16px" }, h3: { fontSize: "14px" } },
  },
  shadows: {
    xs: "none",
    sm: "var(--st-shadow)",
    md: "var(--st-shadow)",
    lg: "var(--st-shadow)",
    xl: "var(--st-shadow)",
  },
  components: {
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "sm" } },
    PasswordInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm", comboboxProps: { shadow: "md" } } },
    Textarea: { defaultProps: { size: "sm" } },
    NumberInput: { defaultProps: { size: "sm" } },
    Tooltip: { defaultProps: { openDelay: 350, withArrow: false, multiline: true, maw: 320 } },
    Modal: {
      defaultProps: {
        centered: true,
        overlayProps: { backgroundOpacity: 0.5 },
        transitionProps: { duration: 100 },
      },
    },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray" } },
  },
});

const shared = {
  "--mantine-color-body": "var(--st-page)",
  "--mantine-color-text": "var(--st-text)",
  "--mantine-color-dimmed": "var(--st-muted)",
  "--mantine-color-default": "var(--st-panel)",
  "--mantine-color-default-hover": "var(--st-raised)",
  "--mantine-color-default-color": "var(--st-text)",
  "--mantine-color-default-border": "var(--st-line)",
  "--mantine-color-placeholder": "var(--st-muted)",
  "--mantine-color-anchor": "var(--st-accent-text)",
  "--mantine-color-error": "var(--st-failed)",
  "--mantine-primary-color-contrast": "var(--st-on-accent)",
  "--mantine-color-gray-light-color": "var(--st-muted)",
  "--mantine-color-gray-light-hover": "var(--st-raised)",
};

export const cssVariables: CSSVariablesResolver = () => ({ variables: {}, light: shared, dark: shared });
