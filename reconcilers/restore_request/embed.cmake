# Writes OUT: a C++ source that holds the text of each of FILES. Run by CMake at build time.
set(text "#include \"reconcilers/restore_request/scripts.h\"\n\n#include <stdexcept>\n#include <string>\n\nnamespace roadstead::reconcilers::restore {\n\nstd::string_view script(std::string_view name) {\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} content)
  string(APPEND text "  if (name == \"${name}\") return R\"roadstead(${content})roadstead\";\n")
endforeach()
string(APPEND text "  throw std::logic_error(\"no script \" + std::string(name));\n}\n\nArchiveFile script_file(std::string_view name) {\n  return {.path = \"roadstead/\" + std::string(name), .content = std::string(script(name)), .mode = 0755};\n}\n\n}  // namespace roadstead::reconcilers::restore\n")
file(WRITE ${OUT} "${text}")
