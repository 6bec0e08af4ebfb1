// The library's inputs with their styles, which the first paint does not need.
import "./mantine-inputs.css";

export {
  Autocomplete,
  Checkbox,
  Input,
  MultiSelect,
  NumberInput,
  PasswordInput,
  SegmentedControl,
  Select,
  Switch,
  Textarea,
  TextInput,
} from "@mantine/core";
