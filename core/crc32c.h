/* core/crc32c.h - CRC-32C (Castagnoli), the check sum of records in files.
 *
 * Purpose:  finds what a torn write or a bad sector left behind: every change of up to 32 bits in a row, and of any 3 bits in
 *           a record. It is no protection against somebody who changes the record on purpose.
 * Threads:  pure. The processor's instruction is used where there is one: the compiler's run-time library asks the
 *           processor before main(), so there is nothing to initialise and nothing to race for.
 * Units:    size in bytes. Start with crc 0; the result goes on where the next call begins:
 *           crc32c(crc32c(0, a), b) is the sum of a and b together.
 * Source:   RFC 3720 12.1 and B.4: polynomial 0x1EDC6F41, bits reflected, all ones before and after.
 */
#ifndef CORE_CRC32C_H
#define CORE_CRC32C_H

#include "core/base.h"

NODISCARD uint32_t crc32c(uint32_t crc, const void *bytes, size_t size_bytes);

#endif
