/* core/value_text.h - the text of a value, as it arrives in a payload, into the value that the tag's type asks for.
 *
 * Purpose:  the way back from core/number_text.h: one place that says what is a number and whether it fits.
 * Threads:  pure, no allocation.
 * Grammar:  a number of JSON; for bool also true and false. Blanks (space, tab, line ends) around it are cut off. No "NaN",
 *           no "inf", no hexadecimal, no "+1", ".5" or "1,5".
 * Result:   the kinds that devices give for these types: VALUE_BOOL; VALUE_INT for int16, int32; VALUE_UINT for uint16,
 *           uint32; VALUE_FLOAT32; VALUE_FLOAT64.
 *           Integers are exact, however they are written: 12, 12.0 and 1.2e1 are the same, and 0 and 1 are bools.
 *           Floats are the nearest there is, to the last bit; what is too small for any is 0.
 * Errors:   -EINVAL: no number, or no whole number for an integer or a bool; -ERANGE: does not fit the type. *out is
 *           written on success only.
 */
#ifndef CORE_VALUE_TEXT_H
#define CORE_VALUE_TEXT_H

#include "core/bytes.h"
#include "core/config.h"
#include "core/value.h"

NODISCARD int value_parse(enum cfg_tag_type type, struct bytes text, struct value *out);

#endif
