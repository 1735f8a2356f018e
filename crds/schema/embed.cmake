# Writes OUTPUT, a C++ file that holds the text of every file in INPUTS (separated by |) as a raw string literal.
string(REPLACE "|" ";" INPUTS "${INPUTS}")
set(entries "")
foreach(input ${INPUTS})
  get_filename_component(name "${input}" NAME)
  file(READ "${input}" text)
  # A literal may be at most 65,536 bytes long; neighbours are joined by the compiler.
  set(literals "")
  string(LENGTH "${text}" length)
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${text}" ${at} 8000 part)
    string(APPEND literals "R\"yaml~(${part})yaml~\"\n")
    math(EXPR at "${at} + 8000")
  endwhile()
  string(APPEND entries "    {\"${name}\", ${literals}},\n")
endforeach()
file(WRITE "${OUTPUT}" "// Made from crds/*.yaml when the program was built.
#include \"crds/schema/crd.h\"

namespace roadstead::crds {

std::span<const EmbeddedCrd> embedded_crds() {
  static constexpr EmbeddedCrd kFiles[] = {
${entries}  };
  return kFiles;
}

}  // namespace roadstead::crds
")
