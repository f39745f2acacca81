// SPDX-License-Identifier: Apache-2.0
// Lines of cells as text with aligned columns. Pure.
#pragma once

#include <string>
#include <vector>

namespace penstock {

struct Cell {
  std::string text;
  bool right = false;            // aligned
  const char* escape = nullptr;  // of a terminal, "31;1": around the text once it is padded
};

using Row = std::vector<Cell>;

// Columns are as wide as their widest cell and two spaces apart; the last is not padded. Widths
// count bytes.
std::string align(const std::vector<Row>& rows, const std::string& indent);

}  // namespace penstock
